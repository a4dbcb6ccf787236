import { describe, expect, test } from 'vitest';
import { createShares, shareOf } from '../../proxy/shares.ts';

describe('the share of a limit', () => {
  test.each([
    [10, 1, [10]],
    [10, 2, [5, 5]],
    [10, 3, [4, 3, 3]],
    [3, 3, [1, 1, 1]],
    [2, 3, [1, 1, 1]],
    [1, 2, [1, 1]],
    [0, 3, [0, 0, 0]],
    [Number.POSITIVE_INFINITY, 2, [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]],
  ])('%d over %d proxies is %j', (limit, count, shares) => {
    expect(shares.map((_, rank) => shareOf(limit, count, rank))).toEqual(shares);
  });

  test('is whole, at least 1, and sums up to the limit wherever that is at least the count', () => {
    for (let limit = 1; limit <= 50; limit++) {
      for (let count = 1; count <= 60; count++) {
        const shares = Array.from({ length: count }, (_, rank) => shareOf(limit, count, rank));
        const sum = shares.reduce((total, share) => total + share, 0);
        expect(shares.every((share) => Number.isInteger(share) && share >= 1)).toBe(true);
        expect([limit, count, sum]).toEqual([limit, count, Math.max(limit, count)]);
      }
    }
  });
});

describe('the shares of one proxy', () => {
  test('are all of every limit while there is no list', () => {
    const shares = createShares('b');
    expect([shares.of(7), shares.of(0), shares.of(Number.POSITIVE_INFINITY)]).toEqual([7, 0, Number.POSITIVE_INFINITY]);
  });

  test('follow its place in the list, and the list', () => {
    const shares = createShares('b');
    shares.update(['a', 'b', 'c']);
    expect([shares.of(7), shares.of(8)]).toEqual([2, 3]);
    shares.update(['b', 'c']);
    expect(shares.of(7)).toBe(4);
    shares.update([]);
    expect(shares.of(7)).toBe(7);
  });

  test('are those of one more, at the last rank, while the list does not have it', () => {
    const shares = createShares('b');
    shares.update(['a', 'c']);
    expect([shares.of(7), shares.of(8), shares.of(9)]).toEqual([2, 2, 3]);
  });

  test('of all proxies of one list sum up to the limit', () => {
    const ids = ['a', 'b', 'c', 'd'];
    const all = ids.map((id) => {
      const shares = createShares(id);
      shares.update(ids);
      return shares.of(10);
    });
    expect(all).toEqual([3, 3, 2, 2]);
  });

  test('do not change where the list names a proxy twice', () => {
    const shares = createShares('b');
    shares.update(['a', 'a', 'b']);
    expect(shares.of(7)).toBe(3);
  });
});
