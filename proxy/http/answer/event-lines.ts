import { addPiece, createPieces, type Pieces, wholeOf } from '../pieces.ts';

/** Cuts an event stream into lines, and keeps no more than the line that has not ended. */
export interface EventLines {
  /** The next bytes; the lines of those before have been taken. */
  readonly add: (chunk: Buffer) => void;
  /** The next whole line without its end (LF, CR or CRLF); undefined: more bytes are needed. */
  readonly next: () => string | undefined;
}

const LF = 0x0a;
const CR = 0x0d;
const BYTE_ORDER_MARK = '\ufeff';
const NOTHING = Buffer.alloc(0);

export function createEventLines(): EventLines {
  let chunk: Buffer = NOTHING;
  let at = 0;
  let unfinished: Pieces | undefined;
  let isAfterCr = false;
  let isFirst = true;

  function next(): string | undefined {
    if (isAfterCr && at < chunk.length) {
      isAfterCr = false;
      if (chunk[at] === LF) at += 1;
    }
    const start = at;
    while (at < chunk.length && chunk[at] !== LF && chunk[at] !== CR) at += 1;
    if (at === chunk.length) {
      if (at > start) keepFrom(start);
      return undefined;
    }
    isAfterCr = chunk[at] === CR;
    at += 1;
    return textTo(start, at - 1);
  }

  function keepFrom(start: number): void {
    unfinished ??= createPieces();
    addPiece(unfinished, chunk.subarray(start));
  }

  function textTo(start: number, end: number): string {
    let text: string;
    if (unfinished === undefined) {
      text = chunk.toString('utf8', start, end);
    } else {
      addPiece(unfinished, chunk.subarray(start, end));
      text = wholeOf(unfinished).toString();
      unfinished = undefined;
    }
    if (!isFirst) return text;
    isFirst = false;
    return text.startsWith(BYTE_ORDER_MARK) ? text.slice(1) : text;
  }

  function add(bytes: Buffer): void {
    chunk = bytes;
    at = 0;
  }

  return { add, next };
}
