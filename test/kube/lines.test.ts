import { describe, expect, test } from 'vitest';
import { createLineSplitter } from '../../kube/lines.ts';

function split(chunks: readonly Buffer[], maxBytes = 1_000): readonly string[] {
  const lines: string[] = [];
  const splitter = createLineSplitter(maxBytes, (line) => lines.push(line));
  for (const chunk of chunks) splitter.push(chunk);
  return lines;
}

describe('the line splitter', () => {
  const text = '{"a":"ü€😀"}\n\n \n{"b":2}\r\nlast, without an end';

  test('gives whole lines and keeps the unfinished one', () => {
    expect(split([Buffer.from(text)])).toEqual(['{"a":"ü€😀"}', '{"b":2}\r']);
  });

  test('tells what it holds of an unfinished line', () => {
    const splitter = createLineSplitter(1_000, () => undefined);
    splitter.push(Buffer.from('whole\nunfin'));
    splitter.push(Buffer.from('ished'));
    expect(splitter.rest()).toBe('unfinished');
  });

  test('gives the same lines wherever the chunks are cut, in the middle of a character too', () => {
    const bytes = Buffer.from(text);
    for (let at = 0; at <= bytes.length; at++) {
      expect(split([bytes.subarray(0, at), bytes.subarray(at)])).toEqual(split([bytes]));
    }
    expect(split([...bytes].map((byte) => Buffer.from([byte])))).toEqual(split([bytes]));
  });

  test('throws at a line that never ends instead of holding it for ever', () => {
    const chunk = Buffer.alloc(400, 'x');
    expect(() => split([chunk, chunk, chunk])).toThrow('a line is longer than 1000 bytes');
    expect(split([chunk, chunk, Buffer.from('\n'), chunk, chunk])).toHaveLength(1);
  });

  test('takes a line of 10 MB in small chunks in linear time', () => {
    const chunks = Array.from({ length: 10_000 }, () => Buffer.alloc(1_000, 'x'));
    const startedAt = performance.now();
    expect(split([...chunks, Buffer.from('\n')], 16_000_000)[0]).toHaveLength(10_000_000);
    expect(performance.now() - startedAt).toBeLessThan(2_000);
  });
});
