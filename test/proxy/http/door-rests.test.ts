import { describe, expect, test } from 'vitest';
import { backend, chat, type Door, errorOf, fakes, instance, openDoor, pool } from './door.ts';
import { type Clock, movableClock } from './door-clock.ts';
import { seriesOf } from './door-series.ts';

const CHAT = '/v1/chat/completions';
const NO_BACKOFF = { backoffMs: 0 };

async function statusesOf(door: Door, calls: number): Promise<number[]> {
  const statuses: number[] = [];
  for (let n = 0; n < calls; n += 1) {
    const response = await door.post(CHAT, chat());
    await response.text();
    statuses.push(response.status);
  }
  return statuses;
}

const times = (count: number, status: number): number[] => Array(count).fill(status);

interface EndpointSeen {
  readonly state: string;
  readonly cooldownSeconds: number;
  readonly reason: string;
}

async function endpointsOf(door: Door): Promise<EndpointSeen[]> {
  return (await door.pool()).endpoints as unknown as EndpointSeen[];
}

describe('an endpoint that fails', () => {
  test('[P-14] is left out after so many failures in a row, tried by one call after its rest, and restored', async () => {
    const clock = movableClock();
    const [a, b] = await fakes('a', 'b');
    const door = await openDoor();
    const ejection = { consecutiveFailures: 3, failureMs: 15_000 };
    await door.put(pool('chat', [backend(a), backend(b)], { strategy: 'Failover', ejection, retry: NO_BACKOFF }));
    a.behave({ status: 500 });
    expect(await statusesOf(door, 10)).toEqual(times(10, 200));
    expect(a.calls).toHaveLength(3);
    expect(await endpointsOf(door)).toMatchObject([{ state: 'ejected', cooldownSeconds: 15 }, { state: 'ready' }]);
    expect(await seriesOf(door, 'sluice_endpoints', { backend: 'a', state: 'ejected' })).toBe(1);
    expect(await seriesOf(door, 'sluice_endpoints', { backend: 'a', state: 'ready' })).toBe(0);

    clock.forward(14_000);
    expect(await statusesOf(door, 3)).toEqual(times(3, 200));
    expect(a.calls, 'while it rests').toHaveLength(3);

    clock.forward(1_000);
    a.behave({ delayMs: 300 });
    const together = Array.from({ length: 20 }, () => door.post(CHAT, chat()));
    await expect.poll(() => b.calls.filter(({ done }) => done).length).toBe(32);
    expect(a.calls, 'one call tries it').toHaveLength(4);
    for (const answer of together) expect((await answer).status).toBe(200);
    expect(a.calls).toHaveLength(4);

    a.behave();
    expect(await statusesOf(door, 5)).toEqual(times(5, 200));
    expect(a.calls).toHaveLength(9);
    expect(await endpointsOf(door)).toMatchObject([{ state: 'ready', reason: '' }, { state: 'ready' }]);
    expect(await seriesOf(door, 'sluice_endpoints', { backend: 'a', state: 'ejected' })).toBe(0);
  });

  test('[P-7] also by not answering in time: each call is cancelled there, goes on, and so many in a row rest it', async () => {
    const [a, b] = await fakes('a', 'b');
    const door = await openDoor();
    const rules = { strategy: 'Failover', ejection: { consecutiveFailures: 2 }, timeouts: { firstByteMs: 100 } };
    await door.put(pool('chat', [backend(a), backend(b)], rules));
    a.behave({ delayMs: 20_000 });
    expect(await statusesOf(door, 4)).toEqual(times(4, 200));
    await expect.poll(() => a.open()).toBe(0);
    expect(a.calls.map(({ cancelledAtMs }) => cancelledAtMs !== undefined)).toEqual([true, true]);
    expect(b.calls).toHaveLength(4);
    expect(await endpointsOf(door)).toMatchObject([{ state: 'ejected' }, { state: 'ready' }]);
    expect(await seriesOf(door, 'sluice_attempts_total', { backend: 'a', outcome: 'timeout' })).toBe(2);
  });

  test('rests twice as long each time its probe fails, up to maxCooldown, and starts small once it has served', async () => {
    const clock = movableClock();
    const [a, b] = await fakes('a', 'b');
    const door = await openDoor();
    const ejection = { consecutiveFailures: 2, failureMs: 10_000, maxCooldownMs: 35_000 };
    await door.put(pool('chat', [backend(a), backend(b)], { strategy: 'Failover', ejection, retry: NO_BACKOFF }));
    a.behave({ status: 503 });
    const rests: number[] = [];
    await statusesOf(door, 2);
    for (let n = 0; n < 4; n += 1) {
      const before = a.calls.length;
      const { cooldownSeconds } = (await endpointsOf(door))[0] as EndpointSeen;
      rests.push(cooldownSeconds);
      clock.forward(cooldownSeconds * 1000);
      if (n === 3) a.behave();
      expect(await statusesOf(door, 4)).toEqual(times(4, 200));
      expect(a.calls.length - before).toBe(n === 3 ? 4 : 1);
    }
    expect(rests).toEqual([10, 20, 35, 35]);
    a.behave({ status: 503 });
    await statusesOf(door, 2);
    expect((await endpointsOf(door))[0]).toMatchObject({ state: 'ejected', cooldownSeconds: 10 });
  });

  test('now and then, never so often in a row, goes on serving', async () => {
    const [a, b] = await fakes('a', 'b');
    const door = await openDoor();
    const ejection = { consecutiveFailures: 3 };
    await door.put(pool('chat', [backend(a), backend(b)], { strategy: 'Failover', ejection, retry: NO_BACKOFF }));
    for (let n = 0; n < 5; n += 1) {
      a.behaveNext({ status: 500 }, { status: 500 }, {});
      expect(await statusesOf(door, 3)).toEqual(times(3, 200));
    }
    expect(a.calls).toHaveLength(15);
    expect((await endpointsOf(door))[0]).toMatchObject({ state: 'ready' });
  });

  test('does not rest where it is the last that serves, however often it fails', async () => {
    const [a, b] = await fakes('a', 'b');
    const door = await openDoor();
    const rules = { strategy: 'Failover', ejection: { consecutiveFailures: 2 }, retry: { attempts: 1 } };
    await door.put(pool('chat', [backend(a), backend(b)], rules));
    for (const server of [a, b]) server.behave({ status: 500 });
    expect(await statusesOf(door, 30)).toEqual(times(30, 500));
    expect([a.calls.length, b.calls.length]).toEqual([2, 28]);
    expect(await endpointsOf(door)).toMatchObject([{ state: 'ejected' }, { state: 'ready' }]);
    b.behave();
    expect(await statusesOf(door, 1)).toEqual([200]);
  });

  test('a client’s own mistakes are nobody’s failure', async () => {
    const [a, b] = await fakes('a', 'b');
    const door = await openDoor();
    await door.put(
      pool('chat', [backend(a), backend(b)], { strategy: 'Failover', ejection: { consecutiveFailures: 1 } }),
    );
    for (const status of [400, 404, 422]) a.behaveNext({ status });
    expect(await statusesOf(door, 4)).toEqual([400, 404, 422, 200]);
    expect(b.calls).toHaveLength(0);
  });
});

describe('a rate limit', () => {
  const inSeconds = (seconds: number): string => new Date(Date.now() + seconds * 1000).toUTCString();

  test.each<[string, () => Record<string, string>, number, number]>([
    ['Retry-After in seconds', () => ({ 'retry-after': '7' }), 7, 7],
    ['Retry-After as a date', () => ({ 'retry-after': inSeconds(30) }), 28, 30],
    ['retry-after-ms, before Retry-After', () => ({ 'retry-after-ms': '2500', 'retry-after': '40' }), 3, 3],
    ['x-ratelimit-reset', () => ({ 'x-ratelimit-reset-requests': '1m12s' }), 72, 72],
    [
      'x-ratelimit-reset of the limit that is used up',
      () => ({
        ...{ 'x-ratelimit-reset-requests': '5s', 'x-ratelimit-remaining-requests': '0' },
        ...{ 'x-ratelimit-reset-tokens': '50s', 'x-ratelimit-remaining-tokens': '100' },
      }),
      5,
      5,
    ],
    ['nothing: rateLimited', () => ({}), 60, 60],
    ['more than maxCooldown', () => ({ 'retry-after': '86400' }), 300, 300],
  ])('rests its endpoint at once for what it says: %s', async (_, headers, least, most) => {
    for (const status of [429, 529]) {
      const [a, b] = await fakes('a', 'b');
      const door = await openDoor();
      await door.put(pool('chat', [backend(a), backend(b)], { strategy: 'Failover' }));
      a.behave({ status, headers: headers() });
      expect(await statusesOf(door, 5)).toEqual(times(5, 200));
      expect(a.calls).toHaveLength(1);
      const [cooling, other] = await endpointsOf(door);
      expect(cooling?.state).toBe('cooling');
      expect(cooling?.cooldownSeconds).toBeGreaterThanOrEqual(least);
      expect(cooling?.cooldownSeconds).toBeLessThanOrEqual(most);
      expect(other).toMatchObject({ state: 'ready', cooldownSeconds: 0 });
      expect(await seriesOf(door, 'sluice_endpoints', { backend: 'a', state: 'cooling' })).toBe(1);
    }
  });

  test('of every endpoint is 429 with the soonest time that holds: not before it, and then a call is served', async () => {
    const clock: Clock = movableClock();
    const [a, b] = await fakes('a', 'b');
    const door = await openDoor();
    await door.put(pool('chat', [backend(a), backend(b, { tier: 1 })], { retry: NO_BACKOFF }));
    a.behave({ status: 429, retryAfter: '40' });
    b.behave({ status: 429, retryAfter: '12' });
    expect(await statusesOf(door, 1)).toEqual([429]);
    for (const server of [a, b]) server.behave();
    const error = await errorOf(await door.post(CHAT, chat()));
    expect(error).toMatchObject({
      status: 429,
      code: 'rate_limit_exceeded',
      type: 'rate_limit_error',
      retryAfter: '12',
    });
    clock.forward(11_000);
    expect(await errorOf(await door.post(CHAT, chat()))).toMatchObject({ status: 429, retryAfter: '1' });
    expect([a.calls.length, b.calls.length]).toEqual([1, 1]);
    clock.forward(1_000);
    expect(await statusesOf(door, 1)).toEqual([200]);
    expect(b.calls).toHaveLength(2);
  });

  test('after its rest is tried by one call, and what the rest asked for anew holds again', async () => {
    const clock = movableClock();
    const [a, b] = await fakes('a', 'b');
    const door = await openDoor();
    await door.put(pool('chat', [backend(a), backend(b)], { strategy: 'Failover' }));
    a.behave({ status: 429, retryAfter: '5' });
    await statusesOf(door, 1);
    clock.forward(5_000);
    a.behave({ status: 429, retryAfter: '9', delayMs: 100 });
    const answers = await Promise.all(Array.from({ length: 10 }, () => door.post(CHAT, chat())));
    expect(answers.map(({ status }) => status)).toEqual(times(10, 200));
    expect(a.calls).toHaveLength(2);
    expect((await endpointsOf(door))[0]).toMatchObject({ state: 'cooling', cooldownSeconds: 9 });
  });

  test('does not rest an instance’s last endpoint', async () => {
    const [tei] = await fakes('tei');
    const door = await openDoor();
    await door.put(instance('bge', tei, { retry: { attempts: 1 } }));
    tei.behaveNext({ status: 429 }, { status: 429, retryAfter: '30' });
    const statuses: number[] = [];
    for (let n = 0; n < 3; n += 1) statuses.push((await door.post('/instances/bge/embed', { inputs: 'Hi' })).status);
    expect(statuses).toEqual([429, 429, 200]);
  });
});

describe('the retry budget', () => {
  test('keeps an outage from being asked many times over: a fifth more calls, and ten retries a second', async () => {
    const servers = await fakes('a', 'b', 'c');
    for (const server of servers) server.behave({ status: 503 });
    const door = await openDoor();
    const rules = { ejection: { consecutiveFailures: 0 }, retry: { attempts: 3, backoffMs: 0 } };
    await door.put(
      pool(
        'chat',
        servers.map((server) => backend(server)),
        rules,
      ),
    );
    const requests = 400;
    const startedAt = performance.now();
    let left = requests;
    const caller = async (): Promise<void> => {
      while (left > 0) {
        left -= 1;
        const response = await door.post(CHAT, chat());
        await response.text();
        expect(response.status).toBe(503);
      }
    };
    await Promise.all(Array.from({ length: 16 }, caller));
    const seconds = Math.floor((performance.now() - startedAt) / 1000) + 2;
    const calls = servers.reduce((sum, server) => sum + server.calls.length, 0);
    expect(calls).toBeLessThanOrEqual(requests * 1.2 + 10 * seconds);
    expect(calls).toBeGreaterThanOrEqual(requests * 1.2 - 1);
    const refused = await seriesOf(door, 'sluice_retry_budget_exhausted_total', { pool: 'ml/chat' });
    // Each request that was not tried three times was refused its next try.
    expect(refused).toBeGreaterThan(requests / 2);
  });

  test('is no matter where few fail', async () => {
    const [a, b] = await fakes('a', 'b');
    const door = await openDoor();
    await door.put(pool('chat', [backend(a), backend(b)], { strategy: 'Failover', retry: NO_BACKOFF }));
    a.behaveNext(...Array.from({ length: 10 }, (_, n) => (n % 2 === 0 ? { status: 500 } : {})));
    expect(await statusesOf(door, 10)).toEqual(times(10, 200));
    expect(await door.metrics()).not.toMatch(/^sluice_retry_budget_exhausted_total\{/m);
  });
});

test('a provider that takes our key no more costs no call: being turned away spends nothing of the retry budget', async () => {
  const [a, b] = await fakes('a', 'b');
  a.behave({ status: 401 });
  const door = await openDoor();
  await door.put(pool('chat', [backend(a), backend(b)]));
  const statuses = new Set<number>();
  for (let n = 0; n < 150; n += 1) statuses.add((await door.post('/v1/chat/completions', chat())).status);
  expect([...statuses]).toEqual([200]);
  expect(a.calls.length).toBeGreaterThan(60);
});
