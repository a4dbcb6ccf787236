const QUOTE = 0x22;
const COMMA = 0x2c;
const OPEN_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

export interface ItemSplitter {
  readonly push: (chunk: Buffer) => void;
  /** What is left: the list's own JSON, its array empty. As it came, if that was no such JSON. */
  readonly rest: () => string;
}

/**
 * Cuts the objects out of a list's array as its bytes come, and hands on the JSON text of each. Parsing one pod after
 * the other leaves garbage that dies young; parsing a page of 500 at once took the process from 190 to 390 MB at
 * 20,000 pods, and held up everything else for 90 ms instead of 30. Throws when an item is longer than maxBytes.
 */
export function createItemSplitter(maxBytes: number, item: (text: string) => void): ItemSplitter {
  let depth = 0;
  let quoted = false;
  let escaped = false;
  // The only array that stands directly in a list is that of its items.
  let inArray = false;
  const held = createHold(maxBytes);
  const rest = createHold(maxBytes);

  const push = (chunk: Buffer): void => {
    let start = 0;
    const upTo = (end: number): Buffer => {
      const part = chunk.subarray(start, end);
      start = end;
      return part;
    };
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at];
      if (quoted) {
        if (escaped) escaped = false;
        else if (byte === BACKSLASH) escaped = true;
        else if (byte === QUOTE) quoted = false;
      } else if (byte === QUOTE) {
        quoted = true;
      } else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
        if (inArray && depth === 2) rest.add(upTo(at));
        depth += 1;
        if (depth === 2) inArray = byte === OPEN_BRACKET;
      } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
        depth -= 1;
        if (depth === 1) inArray = false;
        if (!inArray || depth !== 2) continue;
        held.add(upTo(at + 1));
        item(held.take());
      } else if (byte === COMMA && inArray && depth === 2) {
        rest.add(upTo(at));
        start = at + 1;
      }
    }
    (inArray && depth > 2 ? held : rest).add(upTo(chunk.length));
  };
  return { push, rest: rest.take };
}

/** Pieces of bytes that become one text. */
function createHold(maxBytes: number): { add(part: Buffer): void; take(): string } {
  let parts: Buffer[] = [];
  let bytes = 0;
  return {
    add(part) {
      if (part.length === 0) return;
      bytes += part.length;
      if (bytes > maxBytes) throw new Error(`an object is longer than ${maxBytes} bytes`);
      parts.push(part);
    },
    take() {
      const [only] = parts;
      const text = (parts.length === 1 && only ? only : Buffer.concat(parts)).toString('utf8');
      parts = [];
      bytes = 0;
      return text;
    },
  };
}
