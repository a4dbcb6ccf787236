import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createQueue, joinLane, leaveQueue, wake } from '../../../proxy/admit/queue.ts';
import { type AdmitDeps, createSeat, leave, type Seat, takeSeat } from '../../../proxy/admit/seat.ts';
import { createCall } from '../../../proxy/call.ts';
import type { PoolState } from '../../../proxy/pool.ts';
import { poolOf, stateOf } from '../balance/pools.ts';

const DEPS: AdmitDeps = { now: () => performance.now(), random: () => 0.5, shareOf: (limit) => limit };

interface Caller {
  readonly seat: Seat;
  address: string;
}

/** A call of a client; its address is empty while it waits. */
function call(pool: PoolState, client: string): Caller {
  const seat = createSeat(pool, { client, conversation: undefined, prefixKey: undefined });
  const caller: Caller = { seat, address: '' };
  const seated = (endpoint: { readonly address: string } | undefined): void => {
    caller.address = endpoint?.address ?? 'none';
  };
  const taken = takeSeat(seat, createCall(), DEPS, seated, () => {
    caller.address = 'refused';
  });
  if (taken !== 'waits') seated(taken);
  return caller;
}

describe('the slot of a later tier', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] }));
  afterEach(() => void vi.useRealTimers());

  const twoTiers = (): PoolState =>
    stateOf(
      poolOf([
        { name: 'a', maxConcurrent: 1 },
        { name: 'b', tier: 1, maxConcurrent: 1 },
      ]),
    );

  test('goes to a call that has waited long enough for it, though the turn is one’s that has not', async () => {
    const pool = twoTiers();
    const first = call(pool, 'x');
    const quick = call(pool, 'b');
    vi.advanceTimersByTime(10);
    const patient = call(pool, 'a');
    vi.advanceTimersByTime(290);
    const late = call(pool, 'b');
    vi.advanceTimersByTime(300);
    await Promise.resolve();
    expect(quick.address).toBe('b-0');
    leave(quick.seat);
    await Promise.resolve();
    expect([first.address, patient.address, late.address]).toEqual(['a-0', 'b-0', '']);
    leave(first.seat);
    await Promise.resolve();
    expect(late.address).toBe('a-0');
    leave(late.seat);
    leave(patient.seat);
    expect([pool.queue.size, pool.inFlight]).toEqual([0, 0]);
  });

  test('goes to clients in turn', async () => {
    const pool = twoTiers();
    call(pool, 'x');
    let inTierOne = call(pool, 'y');
    vi.advanceTimersByTime(500);
    await Promise.resolve();
    expect(inTierOne.address).toBe('b-0');
    const waiting = [1, 2, 3].map(() => call(pool, 'greedy'));
    waiting.push(call(pool, 'modest'));
    vi.advanceTimersByTime(500);
    const order: string[] = [];
    for (let n = 0; n < 4; n += 1) {
      leave(inTierOne.seat);
      await Promise.resolve();
      inTierOne = waiting.splice(
        waiting.findIndex(({ address }) => address === 'b-0'),
        1,
      )[0] as Caller;
      order.push(inTierOne.seat.client);
    }
    expect(order).toEqual(['greedy', 'modest', 'greedy', 'greedy']);
  });
});

describe('a queue', () => {
  test('in which a waiter breaks wakes the others all the same, the next time', () => {
    const queue = createQueue();
    const broken = (): boolean => {
      throw new Error('broken');
    };
    joinLane(queue, 'a', broken);
    expect(() => wake(queue)).toThrow('broken');
    leaveQueue(queue, 'a', broken);
    let woken = 0;
    const sound = (): boolean => {
      woken += 1;
      leaveQueue(queue, 'b', sound);
      return true;
    };
    joinLane(queue, 'b', sound);
    wake(queue);
    expect([woken, queue.size]).toEqual([1, 0]);
  });
});
