import { afterEach, describe, expect, test, vi } from 'vitest';
import { type AdmitDeps, createSeat, leave, type Seat, standUp, takeSeat } from '../../../proxy/admit/seat.ts';
import { type Call, createCall, endCall } from '../../../proxy/call.ts';
import type { Endpoint, PoolState } from '../../../proxy/pool.ts';
import { poolOf, stateOf } from '../balance/pools.ts';

/** Seats of one endpoint with this many slots. */
function state(maxConcurrent: number, queue = { maxDepth: 2, timeoutMs: 0, spillAfterMs: 500 }): PoolState {
  return stateOf(poolOf([{ name: 'a', maxConcurrent }], { queue }));
}

interface Sat {
  readonly seat: Seat;
  readonly call: Call;
  /** At once, or a promise where it waits. */
  readonly taken: Endpoint | undefined | Promise<Endpoint | undefined>;
}

const DEPS: AdmitDeps = { now: () => performance.now(), random: () => 0.5, shareOf: (limit) => limit };

function sit(pool: PoolState, client = ''): Sat {
  const seat = createSeat(pool, { client, conversation: undefined, prefixKey: undefined });
  const call = createCall();
  return { seat, call, taken: take(seat, call) };
}

function take(seat: Seat, call: Call): Sat['taken'] {
  const { promise, resolve, reject } = Promise.withResolvers<Endpoint | undefined>();
  const taken = takeSeat(seat, call, DEPS, resolve, reject);
  return taken === 'waits' ? promise : taken;
}

const slots = (pool: PoolState): number[] => [
  pool.inFlight,
  pool.current?.tiers[0]?.backends[0]?.endpoints[0]?.state.inFlight ?? -1,
];

afterEach(() => vi.useRealTimers());

describe('a seat', () => {
  test('is had at once while one is free, and holds one slot of the pool and one of the endpoint', () => {
    const pool = state(1);
    expect((sit(pool).taken as Endpoint).address).toBe('a-0');
    expect(slots(pool)).toEqual([1, 1]);
  });

  test('gives each slot back once, however often it is left', () => {
    const pool = state(3);
    const first = sit(pool);
    sit(pool);
    for (let n = 0; n < 3; n += 1) {
      standUp(first.seat);
      leave(first.seat);
    }
    expect(slots(pool)).toEqual([1, 1]);
  });

  test('keeps the pool’s slot between two attempts', () => {
    const pool = state(1);
    const { seat } = sit(pool);
    standUp(seat);
    expect(slots(pool)).toEqual([1, 0]);
    leave(seat);
    expect(slots(pool)).toEqual([0, 0]);
  });

  test('is waited for first come, first served', async () => {
    const pool = state(1);
    const first = sit(pool);
    const second = sit(pool);
    const third = sit(pool);
    const order: string[] = [];
    void (second.taken as Promise<unknown>).then(() => order.push('second'));
    void (third.taken as Promise<unknown>).then(() => order.push('third'));
    leave(first.seat);
    await second.taken;
    leave(second.seat);
    await third.taken;
    expect(order).toEqual(['second', 'third']);
    expect(slots(pool)).toEqual([1, 1]);
  });

  test('the pool’s own maxConcurrent is kept to as well', () => {
    const pool = stateOf(poolOf([{ name: 'a' }], { maxConcurrent: 1 }));
    sit(pool);
    expect(sit(pool).taken).toBeInstanceOf(Promise);
    expect(pool.queue.size).toBe(1);
  });

  test('is had for a second try before those who wait, who may wait for that very slot of the pool', async () => {
    const pool = stateOf(poolOf([{ name: 'a' }, { name: 'b', maxConcurrent: 1 }], { maxConcurrent: 1 }));
    const first = sit(pool);
    const waiting = sit(pool);
    standUp(first.seat);
    first.seat.tried.push((first.taken as Endpoint).state);
    expect(take(first.seat, first.call)).toMatchObject({ backend: { name: expect.stringMatching(/^[ab]$/) } });
    leave(first.seat);
    expect(await waiting.taken).toBeDefined();
  });

  test('is waited for at the head of a queue, even of a full one, by a call that holds the pool’s slot', async () => {
    const queue = { maxDepth: 1, timeoutMs: 0, spillAfterMs: 500 };
    const plans = [
      { name: 'a', maxConcurrent: 1 },
      { name: 'b', maxConcurrent: 1 },
    ];
    const pool = stateOf(poolOf(plans, { maxConcurrent: 2, queue }));
    const first = sit(pool);
    const second = sit(pool);
    const waiting = sit(pool);
    standUp(first.seat);
    first.seat.tried.push((first.taken as Endpoint).state);
    const again = take(first.seat, first.call);
    expect([again instanceof Promise, pool.queue.size]).toEqual([true, 2]);
    leave(second.seat);
    expect(await again).toBe(second.taken);
    leave(first.seat);
    expect(await waiting.taken).toBeDefined();
  });

  test('[P-6] is refused at once when the queue is full, with a Retry-After that grows with the queue', () => {
    const pool = state(1);
    pool.meanSeconds = 10;
    sit(pool);
    sit(pool);
    sit(pool);
    const refusal = (): void => void sit(pool);
    expect(refusal).toThrow(expect.objectContaining({ code: 'queue_full', retryAfterSeconds: 30 }));
  });

  test('[P-6] is refused when none came free in time, and the queue forgets who left', async () => {
    vi.useFakeTimers();
    const pool = state(1, { maxDepth: 2, timeoutMs: 1_000, spillAfterMs: 500 });
    sit(pool);
    const waiting = sit(pool);
    const refusal = expect(waiting.taken).rejects.toMatchObject({ code: 'queue_timeout' });
    vi.advanceTimersByTime(1_000);
    await refusal;
    expect(pool.queue.size).toBe(0);
    expect(slots(pool)).toEqual([1, 1]);
  });

  test('whoever leaves the queue takes no slot and lets the next one pass', async () => {
    const pool = state(1);
    const first = sit(pool);
    const gone = sit(pool);
    const next = sit(pool);
    endCall(gone.call, 'client');
    expect(await gone.taken).toBeUndefined();
    leave(gone.seat);
    leave(first.seat);
    expect(((await next.taken) as Endpoint).address).toBe('a-0');
    expect(slots(pool)).toEqual([1, 1]);
  });

  test('is had by clients in turn, and by one client’s calls in their order, whoever came in greater number', async () => {
    const pool = state(1, { maxDepth: 100, timeoutMs: 0, spillAfterMs: 500 });
    const order: string[] = [];
    const first = sit(pool);
    const waiting = ['greedy 1', 'greedy 2', 'greedy 3', 'modest 1', 'modest 2', 'late 1'].map((name) => {
      const sat = sit(pool, name.split(' ')[0]);
      void (sat.taken as Promise<unknown>).then(() => {
        order.push(name);
        leave(sat.seat);
      });
      return sat;
    });
    leave(first.seat);
    await Promise.all(waiting.map(({ taken }) => taken));
    await vi.waitFor(() => expect(order).toHaveLength(6));
    expect(order).toEqual(['greedy 1', 'modest 1', 'late 1', 'greedy 2', 'modest 2', 'greedy 3']);
  });

  test('is waited for in a full tier for spillAfter, then taken in the next', async () => {
    vi.useFakeTimers();
    const pool = stateOf(
      poolOf([
        { name: 'a', maxConcurrent: 1 },
        { name: 'b', tier: 1, maxConcurrent: 1 },
        { name: 'c', tier: 2 },
      ]),
    );
    sit(pool);
    const [second, third] = [sit(pool), sit(pool)];
    expect(pool.queue.size).toBe(2);
    vi.advanceTimersByTime(499);
    expect(pool.queue.size).toBe(2);
    vi.advanceTimersByTime(1);
    expect(await second.taken).toMatchObject({ address: 'b-0' });
    vi.advanceTimersByTime(500);
    expect(await third.taken).toMatchObject({ address: 'c-0' });
  });

  test('is not waited for in a tier whose endpoints all rest: the next tier serves at once', () => {
    const pool = stateOf(poolOf([{ name: 'a' }, { name: 'b', tier: 1 }]));
    const resting = pool.current?.tiers[0]?.endpoints[0]?.state;
    if (resting !== undefined) resting.restUntil = performance.now() + 1_000;
    expect(sit(pool).taken).toMatchObject({ address: 'b-0' });
  });

  test('of an endpoint whose rest is over is had by one call alone, until that has shown how it goes', () => {
    const pool = stateOf(poolOf([{ name: 'a' }]));
    const resting = pool.current?.tiers[0]?.endpoints[0]?.state;
    if (resting !== undefined) resting.restUntil = performance.now() - 1;
    const probe = sit(pool);
    expect(probe.seat.isProbe).toBe(true);
    expect(sit(pool).taken).toBeInstanceOf(Promise);
  });

  test('a hundred thousand calls that come, wait, leave or fail leave no slot taken', async () => {
    const pool = state(3, { maxDepth: 100_000, timeoutMs: 0, spillAfterMs: 500 });
    let seed = 7;
    const random = (below: number): number => {
      seed = (seed * 48_271) % 2_147_483_647;
      return seed % below;
    };
    const open: ReturnType<typeof sit>[] = [];
    for (let n = 0; n < 100_000; n += 1) {
      if (open.length < 40 && random(2) === 0) open.push(sit(pool));
      const [some] = open.splice(random(open.length + 1), 1);
      if (some === undefined) continue;
      if (some.taken instanceof Promise && random(2) === 0) endCall(some.call, 'client');
      void Promise.resolve(some.taken).then(() => leave(some.seat));
      if (n % 100 === 0) await Promise.resolve();
    }
    for (const { seat, call } of open) {
      endCall(call, 'client');
      leave(seat);
    }
    await vi.waitFor(() => expect(slots(pool)).toEqual([0, 0]));
    expect(pool.queue.size).toBe(0);
  });
});
