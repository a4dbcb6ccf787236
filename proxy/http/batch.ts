import type { Span } from './json-body.ts';
import { eachItem, eachMember, scanJson } from './json-scan.ts';

/**
 * An `input` array that is larger than what a model server takes at once, as bodies that it takes, and their answers as
 * the one answer. All by slicing: numbers keep their text, and nothing is parsed into objects but `usage`.
 */

const QUOTE = 0x22;
const OPEN = 0x5b;

/**
 * The body again and again, each with at most `size` of the items. Undefined where one call is enough: few items, or
 * token ids, which are one input together.
 */
export function splitInput(body: Buffer, input: Span | undefined, size: number): Buffer[] | undefined {
  if (input === undefined || body[input.start] !== OPEN) return undefined;
  const items: Span[] = [];
  eachItem(body, input.start, (start, end) => items.push({ start, end }));
  const [first] = items;
  if (items.length <= size || first === undefined) return undefined;
  const kind = body[first.start];
  if (kind !== QUOTE && kind !== OPEN) return undefined;
  const head = body.subarray(0, input.start + 1);
  const tail = body.subarray(input.end - 1);
  const parts: Buffer[] = [];
  for (let at = 0; at < items.length; at += size) {
    const last = items[Math.min(at + size, items.length) - 1] as Span;
    parts.push(Buffer.concat([head, body.subarray((items[at] as Span).start, last.end), tail]));
  }
  return parts;
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
