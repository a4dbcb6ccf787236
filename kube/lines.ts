export interface LineSplitter {
  readonly push: (chunk: Buffer) => void;
  /** The unfinished line that is held. */
  readonly rest: () => string;
}

/**
 * Cuts a stream of bytes into lines: `push` calls `line` for each whole one (without its end, and not for an empty
 * one). Chunks may split a line, or a character, anywhere. Throws when a line is longer than maxBytes.
 */
export function createLineSplitter(maxBytes: number, line: (text: string) => void): LineSplitter {
  let held: Buffer[] = [];
  let heldBytes = 0;
  const hold = (part: Buffer): void => {
    heldBytes += part.length;
    if (heldBytes > maxBytes) throw new Error(`a line is longer than ${maxBytes} bytes`);
    held.push(part);
  };
  const take = (): string => {
    const text = (held.length === 1 && held[0] ? held[0] : Buffer.concat(held)).toString('utf8');
    held = [];
    heldBytes = 0;
    return text;
  };
  return {
    push(chunk) {
      let start = 0;
      for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, start)) {
        hold(chunk.subarray(start, end));
        start = end + 1;
        const text = take();
        if (text.trim() !== '') line(text);
      }
      if (start < chunk.length) hold(chunk.subarray(start));
    },
    rest: take,
  };
}
