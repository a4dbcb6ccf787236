import { ProxyError } from '../errors.ts';
import type { Span } from './json-body.ts';
import { eachItem, eachMember, scanJson } from './json-scan.ts';

/**
 * An `input` array that is larger than what a model server takes at once, as bodies that it takes, and their answers as
 * the one answer. All by slicing: numbers keep their text, and nothing is parsed into objects but `usage`.
 */

const QUOTE = 0x22;
const OPEN = 0x5b;

/** What is too much for one request; OpenAI itself takes 2,048 inputs. */
const MAX_PARTS = 1024;
/** Of what stands around the inputs, which goes with each part. */
const MAX_REPEATED_BYTES = 32 * 1024 * 1024;

/** Whether the inputs of a body can go in parts: several, and not token ids, which are one input together. */
export function isSplittable(body: Buffer, input: Span): boolean {
  if (body[input.start] !== OPEN) return false;
  const [first, second] = runsOf(body, input, 1, 2);
  const kind = first === undefined ? 0 : body[first.start];
  return second !== undefined && (kind === QUOTE || kind === OPEN);
}

/**
 * The inputs of a body in runs of at most `size`.
 * @throws ProxyError request_too_large
 */
export function splitInput(body: Buffer, input: Span, size: number): Span[] {
  const runs = runsOf(body, input, size, MAX_PARTS + 1);
  const common = body.length - (input.end - input.start);
  if (runs.length <= MAX_PARTS && common * (runs.length - 1) <= MAX_REPEATED_BYTES) return runs;
  const message = `\`input\` is too much for one request: the server takes ${size} at a time; send fewer at once`;
  throw new ProxyError('request_too_large', message, { param: 'input' });
}

/** The body with one run of its inputs. Made when it is sent: all of them at once would be the body many times. */
export function partOf(body: Buffer, input: Span, { start, end }: Span): Buffer {
  return Buffer.concat([body.subarray(0, input.start + 1), body.subarray(start, end), body.subarray(input.end - 1)]);
}

/** Runs of `size` items, and no more than `most` of them: what follows is left out. */
function runsOf(body: Buffer, input: Span, size: number, most: number): Span[] {
  const runs: Span[] = [];
  let count = 0;
  let start = 0;
  let end = 0;
  eachItem(body, input.start, (itemStart, itemEnd) => {
    if (count % size === 0) {
      if (count > 0) runs.push({ start, end });
      start = itemStart;
    }
    count += 1;
    end = itemEnd;
    return runs.length < most;
  });
  if (count > 0 && runs.length < most) runs.push({ start, end });
  return runs;
}

/**
 * One list of embeddings from several, in order: `data` joined with `index` counted through, `usage` summed, the rest as
 * the first says. Undefined where an answer is not such a list.
 */
export function joinEmbeddings(answers: readonly Buffer[]): Buffer | undefined {
  const lists = answers.map(readList);
  const pieces: Buffer[] = [];
  const usage = new Map<string, number>();
  let count = 0;
  for (const [index, list] of lists.entries()) {
    const answer = answers[index] as Buffer;
    if (list === undefined) return undefined;
    addUsage(usage, answer, list.usage);
    eachItem(answer, list.data.start, (start, end) => {
      if (count > 0) pieces.push(COMMA);
      pieces.push(...withIndex(answer, { start, end }, count));
      count += 1;
      return true;
    });
  }
  const [answer] = answers;
  const [list] = lists;
  if (answer === undefined || list === undefined) return undefined;
  return framed(answer, list, pieces, Buffer.from(JSON.stringify(Object.fromEntries(usage))));
}

const COMMA = Buffer.from(',');

/** The first answer with all items for its own, and the sum of usage where it had one: whichever stands first. */
function framed(answer: Buffer, { data, usage }: List, items: readonly Buffer[], sum: Buffer): Buffer {
  const at = (start: number, end?: number): Buffer => answer.subarray(start, end);
  const open = data.start + 1;
  const close = data.end - 1;
  if (usage === undefined) return Buffer.concat([at(0, open), ...items, at(close)]);
  return usage.start < data.start
    ? Buffer.concat([at(0, usage.start), sum, at(usage.end, open), ...items, at(close)])
    : Buffer.concat([at(0, open), ...items, at(close, usage.start), sum, at(usage.end)]);
}

interface List {
  readonly data: Span;
  readonly usage: Span | undefined;
}

function readList(answer: Buffer): List | undefined {
  let data: Span | undefined;
  let usage: Span | undefined;
  scanJson(answer, (keyStart, start, end) => {
    const key = answer.toString('latin1', keyStart + 1, keyStart + 7);
    if (key.startsWith('data"')) data = { start, end };
    else if (key === 'usage"') usage = { start, end };
  });
  return data === undefined || answer[(data as Span).start] !== OPEN ? undefined : { data, usage };
}

/** The item in slices, its number in place of the one its own answer gave it. */
function withIndex(answer: Buffer, { start, end }: Span, index: number): Buffer[] {
  let at: Span | undefined;
  eachMember(answer, start, (keyStart, valueStart, valueEnd) => {
    if (answer.toString('latin1', keyStart, valueStart).startsWith('"index"'))
      at = { start: valueStart, end: valueEnd };
  });
  const span = at as Span | undefined;
  if (span === undefined) return [answer.subarray(start, end)];
  return [answer.subarray(start, span.start), Buffer.from(String(index)), answer.subarray(span.end, end)];
}

function addUsage(sum: Map<string, number>, answer: Buffer, span: Span | undefined): void {
  const usage: unknown = span === undefined ? null : JSON.parse(answer.toString('utf8', span.start, span.end));
  for (const [name, value] of Object.entries(usage ?? {})) {
    if (typeof value === 'number') sum.set(name, (sum.get(name) ?? 0) + value);
  }
}
