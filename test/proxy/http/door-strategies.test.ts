import { describe, expect, test } from 'vitest';
import { backend, chat, type Door, fakes, openDoor, pool } from './door.ts';

const CHAT = '/v1/chat/completions';

async function servedBy(door: Door, body: object = chat()): Promise<string> {
  const response = await door.post(CHAT, body);
  expect(response.status).toBe(200);
  await response.text();
  return response.headers.get('x-sluice-backend') ?? '';
}

async function orderOf(door: Door, calls: number): Promise<string[]> {
  const order: string[] = [];
  for (let n = 0; n < calls; n += 1) order.push(await servedBy(door));
  return order;
}

function countsOf(order: readonly string[], names: readonly string[]): number[] {
  return names.map((name) => order.filter((one) => one === name).length);
}

/** The most calls in a row that one endpoint got. */
function longestRun(order: readonly string[]): number {
  let longest = 0;
  let run = 0;
  for (const [index, name] of order.entries()) {
    run = name === order[index - 1] ? run + 1 : 1;
    longest = Math.max(longest, run);
  }
  return longest;
}

describe('a strategy', () => {
  test.each([
    [5, 1],
    [2, 1],
    [5, 3],
    [10, 1],
  ])('[P-1] [P-11] Weighted %i to %i is exact over every period', async (first, second) => {
    const [a, b] = await fakes('a', 'b');
    const door = await openDoor();
    await door.put(pool('chat', [backend(a, { weight: first }), backend(b, { weight: second })]));
    const period = first + second;
    const order = await orderOf(door, 3 * period);
    for (let start = 0; start + period <= order.length; start += 1) {
      expect(countsOf(order.slice(start, start + period), ['a', 'b'])).toEqual([first, second]);
    }
  });

  test('[P-1] RoundRobin takes turns whatever the weights, Failover the first in order until it fails', async () => {
    const [a, b, c] = await fakes('a', 'b', 'c');
    const door = await openDoor();
    const backends = [backend(a, { weight: 9 }), backend(b), backend(c)];
    await door.put(pool('chat', backends, { strategy: 'RoundRobin' }));
    const turns = await orderOf(door, 9);
    for (let start = 0; start + 3 <= turns.length; start += 1) {
      expect(new Set(turns.slice(start, start + 3)).size).toBe(3);
    }
    await door.put(pool('chat', backends, { strategy: 'Failover' }));
    expect(await orderOf(door, 4)).toEqual(['a', 'a', 'a', 'a']);
    a.behave({ status: 429 });
    expect(await orderOf(door, 4)).toEqual(['b', 'b', 'b', 'b']);
  });

  test('LeastRequest leaves a slow endpoint to its slow calls', async () => {
    const [slow, quick] = await fakes('slow', 'quick');
    slow.behave({ delayMs: 400 });
    quick.behave({ delayMs: 5 });
    const door = await openDoor();
    await door.put(pool('chat', [backend(slow), backend(quick)], { strategy: 'LeastRequest' }));
    let left = 200;
    const caller = async (): Promise<void> => {
      while (left > 0) {
        left -= 1;
        await servedBy(door);
      }
    };
    await Promise.all(Array.from({ length: 6 }, caller));
    expect(slow.calls.length).toBeGreaterThan(0);
    // Taking turns would give it half.
    expect(slow.calls.length).toBeLessThan(40);
  });

  test('LeastRequest follows weights where all are as quick', async () => {
    const [a, b] = await fakes('a', 'b');
    const door = await openDoor();
    const backends = [backend(a, { weight: 3 }), backend(b, { weight: 1 })];
    await door.put(pool('chat', backends, { strategy: 'LeastRequest' }));
    for (const server of [a, b]) server.behave({ delayMs: 30 });
    await Promise.all(Array.from({ length: 80 }, () => servedBy(door)));
    expect(a.calls.length).toBeGreaterThan(52);
    expect(a.calls.length).toBeLessThan(68);
  });
});

describe('a reload between any two calls', () => {
  test.each([
    ['Weighted', 3, 12],
    ['RoundRobin', 3, 12],
    ['LeastRequest', 12, 27],
    ['PrefixHash', 12, 27],
  ])('bunches no calls on one endpoint, with %s', async (strategy, longest, slack) => {
    const [a, b, c] = await fakes('a', 'b', 'c');
    const door = await openDoor();
    const order: string[] = [];
    for (let n = 0; n < 120; n += 1) {
      // The third comes and goes, and the deadline is another each time.
      const others = n % 4 === 3 ? [backend(c)] : [];
      const timeouts = { requestMs: 100_000 + n };
      await door.put(pool('chat', [backend(a), backend(b), ...others], { strategy, timeouts }));
      order.push(await servedBy(door, chat('chat', { user: `user-${n}` })));
    }
    const [ofA = 0, ofB = 0] = countsOf(order, ['a', 'b']);
    expect(longestRun(order)).toBeLessThanOrEqual(longest);
    expect(Math.abs(ofA - ofB)).toBeLessThanOrEqual(slack);
  });

  test('with other weights holds from the next call on, and nobody is made to catch up', async () => {
    const [a, b] = await fakes('a', 'b');
    const door = await openDoor();
    const weigh = (first: number, second: number) =>
      door.put(pool('chat', [backend(a, { weight: first }), backend(b, { weight: second })]));
    await weigh(9, 1);
    await orderOf(door, 20);
    await weigh(1, 1);
    const even = await orderOf(door, 10);
    expect(longestRun(even)).toBeLessThanOrEqual(3);
    expect(countsOf(even, ['a', 'b']).every((count) => count >= 4)).toBe(true);
    await weigh(1, 0);
    expect(countsOf(await orderOf(door, 5), ['a', 'b'])).toEqual([5, 0]);
    await weigh(1, 1);
    const again = await orderOf(door, 6);
    expect(longestRun(again)).toBeLessThanOrEqual(3);
  });
});
