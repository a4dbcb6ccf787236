import { describe, expect, test } from 'vitest';
import {
  admitByLimits,
  createLimitState,
  estimateTokens,
  type Grant,
  type LimitState,
  refund,
  settle,
} from '../../../proxy/admit/limits.ts';
import { ProxyError } from '../../../proxy/errors.ts';
import type { Limits } from '../../../proxy/pool.ts';
import { shareOf } from '../../../proxy/shares.ts';
import { below, seeded } from '../http/json-fuzz.ts';

const all = (limit: number): number => limit;

function limitsOf(pool: Limits['pool'], perClient: Limits['perClient'] = {}): Limits {
  return { pool, perClient };
}

interface Door {
  state: LimitState;
  now: number;
  limits: Limits;
  shareOf: (limit: number) => number;
}

function door(limits: Limits, shareOf = all): Door {
  return { state: createLimitState('ml/chat'), now: 0, limits, shareOf };
}

function ask(at: Door, tokens = 1, client = 'ann'): Grant | ProxyError {
  return admitByLimits(at.state, at.limits, client, tokens, { now: () => at.now, shareOf: at.shareOf });
}

function granted(at: Door, tokens = 1, client = 'ann'): Grant {
  const grant = ask(at, tokens, client);
  if (grant instanceof ProxyError) throw grant;
  return grant;
}

/** Refused: what it says, and for how long; undefined where it is let in. */
function refused(at: Door, tokens = 1, client = 'ann'): [string, number | undefined] | undefined {
  const error = ask(at, tokens, client);
  if (!(error instanceof ProxyError)) return undefined;
  expect([error.code, error.status]).toEqual(['rate_limit_exceeded', 429]);
  return [error.message.replace("Rate limit reached for pool 'ml/chat': ", ''), error.retryAfterSeconds];
}

/** How many of these are let in at this moment. */
function letIn(at: Door, tokens = 1, client = 'ann'): number {
  let count = 0;
  while (count < 100_000 && !(ask(at, tokens, client) instanceof ProxyError)) count += 1;
  return count;
}

describe('limits', () => {
  test.each([
    {
      of: limitsOf({ requestsPerMinute: 6 }),
      says: ["the pool's limit is 6 requests per minute; try again in 10 s", 10],
    },
    {
      of: limitsOf({ tokensPerMinute: 600 }),
      says: ["the pool's limit is 600 tokens per minute; try again in 10 s", 10],
    },
    {
      of: limitsOf({}, { requestsPerMinute: 6 }),
      says: ["this client's limit is 6 requests per minute; try again in 10 s", 10],
    },
    {
      of: limitsOf({}, { tokensPerMinute: 600 }),
      says: ["this client's limit is 600 tokens per minute; try again in 10 s", 10],
    },
    {
      of: limitsOf({ requestsPerMinute: 6 }, { tokensPerMinute: 300 }),
      says: ["this client's limit is 300 tokens per minute; try again in 20 s", 20],
    },
  ])('let a minute’s worth in, then name the one that takes longest: $says', ({ of, says }) => {
    const at = door(of);
    letIn(at, 100);
    expect(refused(at, 100)).toEqual(says);
  });

  test('say the pool’s name', () => {
    const at = door(limitsOf({ requestsPerMinute: 1 }));
    granted(at);
    expect(ask(at)).toHaveProperty(
      'message',
      "Rate limit reached for pool 'ml/chat': the pool's limit is 1 requests per minute; try again in 60 s",
    );
  });

  test.each([
    limitsOf({ requestsPerMinute: 6 }),
    limitsOf({ tokensPerMinute: 600 }),
    limitsOf({}, { requestsPerMinute: 6 }),
    limitsOf({}, { tokensPerMinute: 600 }),
  ])('count six of a hundred tokens each: %o', (limits) => {
    expect(letIn(door(limits), 100)).toBe(6);
  });

  test.each([
    { whose: 'pool', what: 'requestsPerMinute', tight: 1 },
    { whose: 'pool', what: 'tokensPerMinute', tight: 10 },
    { whose: 'perClient', what: 'requestsPerMinute', tight: 1 },
    { whose: 'perClient', what: 'tokensPerMinute', tight: 10 },
  ] as const)('take nothing of the others where $whose.$what refuses', ({ whose, what, tight }) => {
    const wide = { requestsPerMinute: 600, tokensPerMinute: 6000 };
    const withLimit = (limit: number | undefined): Limits => {
      const limits = limitsOf(wide, wide);
      return { ...limits, [whose]: { ...limits[whose], [what]: limit } };
    };
    const at = door(withLimit(tight));
    granted(at, 10);
    for (let n = 0; n < 50; n += 1) expect(refused(at, 10)).toBeDefined();
    at.limits = withLimit(undefined);
    expect(letIn(at, 10)).toBe(599);
  });

  test('keep clients apart, and all under the pool’s', () => {
    const at = door(limitsOf({ requestsPerMinute: 10 }, { requestsPerMinute: 6 }));
    expect([letIn(at, 1, 'ann'), letIn(at, 1, 'bob'), letIn(at, 1, 'cid')]).toEqual([6, 4, 0]);
  });

  test.each([
    { from: 600, to: 60, left: 45 },
    { from: 60, to: 600, left: 450 },
  ])('edited from $from to $to with a quarter used have $left left', ({ from, to, left }) => {
    const at = door(limitsOf({ tokensPerMinute: from }));
    granted(at, from / 4);
    at.limits = limitsOf({ tokensPerMinute: to });
    expect(letIn(at)).toBe(left);
  });

  test('are this proxy’s share from the first request on, and follow it', () => {
    const at = door(limitsOf({ tokensPerMinute: 60 }), (limit) => limit / 2);
    granted(at, 15);
    at.now = 1_000_000;
    granted(at, 15);
    expect(letIn(at)).toBe(15);
    const first = door(at.limits, at.shareOf);
    granted(first, 15);
    expect(letIn(first)).toBe(15);
    first.shareOf = all;
    first.now = 60_000;
    expect(letIn(first)).toBe(60);
  });

  test('let in a request larger than the limit once the limit is all there', () => {
    const at = door(limitsOf({ tokensPerMinute: 600 }));
    expect(refused(at, 5000)).toBeUndefined();
    at.now = 30_000;
    expect(refused(at, 5000)).toEqual(["the pool's limit is 600 tokens per minute; try again in 30 s", 30]);
    at.now = 60_000;
    expect(refused(at, 5000)).toBeUndefined();
  });

  test.each([
    {
      of: limitsOf({ requestsPerMinute: 0 }),
      says: "the pool's limit is 0 requests per minute; which lets nothing in",
    },
    { of: limitsOf({ tokensPerMinute: 0 }), says: "the pool's limit is 0 tokens per minute; which lets nothing in" },
    {
      of: limitsOf({}, { requestsPerMinute: 0 }),
      says: "this client's limit is 0 requests per minute; which lets nothing in",
    },
  ])('of 0 refuse all and for a minute: $says', ({ of, says }) => {
    const share = (limit: number): number => Math.max(1, limit);
    const at = door(of, share);
    expect(refused(at)).toEqual([says, 60]);
    at.now = 600_000;
    expect(refused(at)).toEqual([says, 60]);
  });

  test('that are removed, edited and set to 0 with grants out stay what they say', () => {
    const at = door(limitsOf({ requestsPerMinute: 6, tokensPerMinute: 600 }, { tokensPerMinute: 600 }));
    for (const limits of [limitsOf({}), limitsOf({ tokensPerMinute: 0 }), limitsOf({ tokensPerMinute: 60 })]) {
      const grants = [granted(at, 50), granted(at, 50)] as const;
      const before = at.limits;
      at.limits = limits;
      ask(at, 0);
      settle(grants[0], 500, at.now);
      refund(grants[1], at.now);
      at.limits = before;
      at.now += 600_000;
    }
    expect(letIn(at, 100)).toBe(6);
  });
});

describe('a grant', () => {
  const budget = limitsOf({ requestsPerMinute: 1000, tokensPerMinute: 600 }, { tokensPerMinute: 600 });

  test.each([
    { name: 'gives back what was not used', end: (grant: Grant) => settle(grant, 100, 0), left: 5 },
    { name: 'pays for more than it reserved', end: (grant: Grant) => settle(grant, 400, 0), left: 2 },
    { name: 'stands where nobody knows what was used', end: (grant: Grant) => settle(grant, undefined, 0), left: 3 },
    { name: 'stands where what was used is no number', end: (grant: Grant) => settle(grant, Number.NaN, 0), left: 3 },
    { name: 'stands where what was used is below nothing', end: (grant: Grant) => settle(grant, -1, 0), left: 3 },
    { name: 'goes back where no upstream served it', end: (grant: Grant) => refund(grant, 0), left: 6 },
  ])('$name', ({ end, left }) => {
    const at = door(budget);
    end(granted(at, 300));
    expect(letIn(at, 100)).toBe(left);
  });

  test('settles once, by whatever comes first', () => {
    const ends = [
      (grant: Grant) => settle(grant, 100, 0),
      (grant: Grant) => refund(grant, 0),
      (grant: Grant) => settle(grant, undefined, 0),
    ];
    const left = ends.map((first) => {
      const at = door(budget);
      const grant = granted(at, 300);
      for (const end of [first, ...ends, ...ends]) end(grant);
      return letIn(at, 100);
    });
    expect(left).toEqual([5, 6, 3]);
  });

  test('settles the client’s tokens as the pool’s', () => {
    const at = door(limitsOf({}, { tokensPerMinute: 600 }));
    settle(granted(at, 300), 100, 0);
    expect(letIn(at, 100)).toBe(5);
  });

  test('stays counted as a request when it is refunded', () => {
    const at = door(limitsOf({ requestsPerMinute: 2 }, { requestsPerMinute: 2 }));
    refund(granted(at), 0);
    refund(granted(at), 0);
    expect(refused(at)).toBeDefined();
  });
});

describe('clients', () => {
  const perClient = limitsOf({}, { requestsPerMinute: 2 });

  function crowd(at: Door, count: number): void {
    for (let n = 0; n < count; n += 1) granted(at, 1, `client-${n}`);
  }

  test('are forgotten first who lose nothing by it', () => {
    const at = door(perClient);
    granted(at, 1, 'early');
    granted(at, 1, 'early');
    crowd(at, 9_999);
    at.now = 30_001;
    granted(at, 1, 'late');
    expect([...at.state.clients.keys()]).toEqual(['early', 'late']);
    expect(letIn(at, 1, 'early')).toBe(1);
  });

  test('are not forgotten while they owe tokens', () => {
    const at = door(limitsOf({}, { requestsPerMinute: 2, tokensPerMinute: 600 }));
    settle(granted(at, 1, 'early'), 6000, 0);
    crowd(at, 9_999);
    at.now = 60_000;
    granted(at, 1, 'late');
    expect([...at.state.clients.keys()]).toEqual(['early', 'late']);
  });

  test('are at most 10,000: of those that wait the least recently used starts anew', () => {
    const at = door(perClient);
    crowd(at, 9_999);
    granted(at, 1, 'client-0');
    granted(at, 1, 'one more');
    granted(at, 1, 'and one');
    expect(at.state.clients.size).toBe(10_000);
    expect([letIn(at, 1, 'client-0'), letIn(at, 1, 'client-2'), letIn(at, 1, 'client-1')]).toEqual([0, 1, 2]);
  });

  test('are not remembered when they are refused, or where no limit is theirs', () => {
    const closed = door(limitsOf({ requestsPerMinute: 1 }, { requestsPerMinute: 5 }));
    granted(closed, 1, 'ann');
    expect(letIn(closed, 1, 'bob')).toBe(0);
    expect([...closed.state.clients.keys()]).toEqual(['ann']);
    const open = door(limitsOf({ requestsPerMinute: 5 }));
    granted(open);
    expect(open.state.clients.size).toBe(0);
  });
});

describe('the estimate of a request’s tokens', () => {
  test.each([
    [0, undefined, 0],
    [1, undefined, 1],
    [4, undefined, 1],
    [5, undefined, 2],
    [400, 50, 150],
    [400, 0.5, 101],
    [400, -50, 100],
    [400, Number.NaN, 100],
  ])('of %i bytes and max_tokens %s is %i', (bytes, maxTokens, tokens) => {
    expect(estimateTokens(bytes, maxTokens)).toBe(tokens);
  });
});

describe('Retry-After', () => {
  test('is exact where a limit divides a minute', () => {
    for (const limit of [1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60]) {
      for (const now of [0, 1234.567, 498_169.02066496055, 1e9 / 3]) {
        const at = door(limitsOf({ requestsPerMinute: limit }));
        at.now = now;
        letIn(at);
        expect(refused(at)?.[1]).toBe(60 / limit);
      }
    }
  });

  const seeds = Array.from({ length: 30 }, (_, seed) => seed);

  test.each(seeds)('lets in who waits that long, and not a second less (seed %i)', (seed) => {
    const random = seeded(seed);
    const rate = (): number | undefined => (below(random, 3) === 0 ? undefined : 1 + below(random, 500));
    const rates = (): Limits['pool'] => ({ requestsPerMinute: rate(), tokensPerMinute: rate() });
    const at = door(limitsOf(rates(), { ...rates(), requestsPerMinute: 1 + below(random, 60) }));
    const out: Grant[] = [];
    let refusals = 0;
    for (let step = 0; step < 300; step += 1) {
      at.now += random() * 500;
      const tokens = 1 + below(random, 200);
      const answer = ask(at, tokens);
      if (!(answer instanceof ProxyError)) {
        out.push(answer);
        continue;
      }
      refusals += 1;
      const seconds = answer.retryAfterSeconds ?? 0;
      at.now += (seconds - 1) * 1000;
      if (seconds > 1) expect(ask(at, tokens)).toBeInstanceOf(ProxyError);
      at.now += 1000;
      out.push(granted(at, tokens));
      const settled = out.splice(below(random, out.length), 1)[0];
      if (settled !== undefined) settle(settled, below(random, 300), at.now);
    }
    expect(refusals).toBeGreaterThan(10);
  });
});

describe('the shares of several proxies', () => {
  const share = (rank: number, count: number) => (limit: number) => shareOf(limit, count, rank);

  test.each([1, 2, 3, 7])('of %i proxies let in together what one alone would', (count) => {
    const limits = limitsOf({ requestsPerMinute: 100, tokensPerMinute: 1000 });
    const doors = Array.from({ length: count }, (_, rank) => door(limits, share(rank, count)));
    const minutes = 10;
    let total = 0;
    for (let now = 0; now <= minutes * 60_000; now += 100) {
      for (const at of doors) {
        at.now = now;
        total += letIn(at, 1);
      }
    }
    expect(total).toBe(100 * (minutes + 1));
  });

  test('never let in more than twice the limit within a minute, when a second proxy joins and leaves', () => {
    const random = seeded(1);
    const doors = [door(limitsOf({ tokensPerMinute: 100 })), door(limitsOf({ tokensPerMinute: 100 }))];
    const times: number[] = [];
    for (let now = 0; now <= 600_000; now += 1000) {
      const count = now % 120_000 < 60_000 ? 2 : 1;
      for (const [rank, at] of doors.slice(0, count).entries()) {
        at.now = now;
        at.shareOf = share(rank, count);
        for (let asked = below(random, 80); asked > 0; asked -= 1) {
          if (!(ask(at) instanceof ProxyError)) times.push(now);
        }
      }
    }
    const most = Math.max(...times.map((at, n) => times.slice(n).filter((time) => time <= at + 60_000).length));
    expect(most).toBeLessThanOrEqual(200);
    expect(times.length).toBeGreaterThan(1000);
  });
});
