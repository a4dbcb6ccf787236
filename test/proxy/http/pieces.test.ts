import { describe, expect, test } from 'vitest';
import { addPiece, createPieces, listOf, wholeOf } from '../../../proxy/http/pieces.ts';

describe('pieces', () => {
  test('of one chunk are that chunk', () => {
    const pieces = createPieces();
    const chunk = Buffer.from('abc');
    addPiece(pieces, chunk);
    expect(wholeOf(pieces)).toBe(chunk);
  });

  test('are none where none came', () => {
    expect(wholeOf(createPieces())).toHaveLength(0);
  });

  test('are the bytes that came, in order, whatever the chunks and however often they are looked at', () => {
    let seed = 11;
    const random = (below: number): number => {
      seed = (seed * 48_271) % 2_147_483_647;
      return seed % below;
    };
    for (let round = 0; round < 50; round += 1) {
      const pieces = createPieces();
      const chunks: Buffer[] = [];
      for (let n = random(300); n > 0; n -= 1) {
        const length = random(10) === 0 ? random(20_000) : random(300);
        const chunk = Buffer.alloc(length, random(256));
        chunks.push(chunk);
        addPiece(pieces, chunk);
        if (random(20) === 0) listOf(pieces);
      }
      expect(wholeOf(pieces).equals(Buffer.concat(chunks))).toBe(true);
      expect(Buffer.concat(listOf(pieces)).equals(Buffer.concat(chunks))).toBe(true);
    }
  });

  test('that are many and short are few', () => {
    const pieces = createPieces();
    for (let n = 0; n < 100_000; n += 1) addPiece(pieces, Buffer.from('a'));
    expect(listOf(pieces).length).toBeLessThan(30);
    expect(wholeOf(pieces).toString()).toBe('a'.repeat(100_000));
  });
});
