/**
 * The share that one of several proxies has of a limit: a whole number, at least 1 (but 0 of 0). Where the limit is at
 * least the count, the shares of all ranks sum up to it. Infinity stays Infinity. `rank` is below `count`.
 */
export function shareOf(limit: number, count: number, rank: number): number {
  if (limit === 0) return 0;
  // Of Infinity nothing is left over: the remainder is NaN.
  const isAmongFirst = rank < limit % count;
  return Math.max(1, Math.floor(limit / count) + (isAmongFirst ? 1 : 0));
}

/** What this proxy has of each limit, by the published list of the proxies that are ready. */
export interface Shares {
  /** Takes the list over, as published: an id's place in it is its rank. Empty: there is none, and all is ours. */
  readonly update: (ids: readonly string[]) => void;
  /** This proxy's share of the limit now. */
  readonly of: (limit: number) => number;
}

/** `id` is what this proxy calls itself. One that is not in the list yet counts itself as one more, at the last rank. */
export function createShares(id: string): Shares {
  let count = 1;
  let rank = 0;
  return {
    update: (ids) => {
      const all = [...new Set([...ids, id])];
      count = all.length;
      rank = all.indexOf(id);
    },
    of: (limit) => (count === 1 ? limit : shareOf(limit, count, rank)),
  };
}
