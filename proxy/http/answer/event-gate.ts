import { kindOfEvent } from './event-kind.ts';
import { createEventLines } from './event-lines.ts';

/**
 * `hold`: no client waits for what came so far. `release`: it has content. `error`, `no_content`: it errs, or says that
 * it is over, before any content: another endpoint may do better.
 */
export type GateVerdict = 'hold' | 'release' | 'error' | 'no_content';

/**
 * Finds the first event with content in an event stream, whatever chunks it comes in. Fed until it says other than
 * `hold`; a stream that ends before that has no content. The caller keeps the chunks: the gate refers to no more than
 * the event that has not ended.
 */
export interface EventGate {
  readonly feed: (chunk: Buffer) => GateVerdict;
}

/** A stream that says nothing for so long is let go: it is not for us to keep it. */
const MAX_HELD_BYTES = 256 * 1024;

const VERDICTS = { nothing: 'hold', content: 'release', error: 'error', done: 'no_content' } as const;

export function createEventGate(): EventGate {
  const lines = createEventLines();
  let heldBytes = 0;
  let name = '';
  let data: string | undefined;

  function feed(chunk: Buffer): GateVerdict {
    heldBytes += chunk.length;
    lines.add(chunk);
    for (let line = lines.next(); line !== undefined; line = lines.next()) {
      if (line !== '') {
        takeField(line);
        continue;
      }
      const verdict = VERDICTS[kindOfEvent(name, data)];
      if (verdict !== 'hold') return verdict;
      name = '';
      data = undefined;
    }
    return heldBytes > MAX_HELD_BYTES ? 'release' : 'hold';
  }

  function takeField(line: string): void {
    const colon = line.indexOf(':');
    const field = colon === -1 ? line : line.slice(0, colon);
    if (field === 'data') data = data === undefined ? valueAfter(line, colon) : `${data}\n${valueAfter(line, colon)}`;
    else if (field === 'event') name = valueAfter(line, colon);
    // llama.cpp wrote its errors as `error: {…}`, a field that no event stream has.
    else if (field === 'error') name = 'error';
  }

  return { feed };
}

/** One space after the colon belongs to it. */
function valueAfter(line: string, colon: number): string {
  if (colon === -1) return '';
  return line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1);
}
