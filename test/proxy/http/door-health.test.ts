import { describe, expect, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { type Call, type FakeLlm, startFakeLlm } from '../../support/fake-llm.ts';
import { freePort } from '../../support/ports.ts';
import { backend, chat, type Door, errorOf, fakes, instance, openDoor, pool, rawServer } from './door.ts';
import { seriesOf } from './door-series.ts';

const CHAT = '/v1/chat/completions';
const EVERY_100_MS = { path: 'models', intervalMs: 100, timeoutMs: 1_000 };

async function stateOf(door: Door, name: string): Promise<string> {
  const seen = (await door.pool()).endpoints.find((endpoint) => endpoint.backend === name);
  return String((seen as { state?: unknown } | undefined)?.state);
}

const becomes = (door: Door, name: string, state: string): Promise<unknown> =>
  expect.poll(() => stateOf(door, name), { timeout: 10_000, interval: 10 }).toBe(state);

const checksOf = (server: FakeLlm): Call[] => server.calls.filter(({ method }) => method === 'GET');
const callsOf = (server: FakeLlm): Call[] => server.calls.filter(({ method }) => method === 'POST');

async function statusesOf(door: Door, calls: number): Promise<number[]> {
  const statuses: number[] = [];
  for (let n = 0; n < calls; n += 1) {
    const response = await door.post(CHAT, chat());
    await response.text();
    statuses.push(response.status);
  }
  return statuses;
}

describe('a health check', () => {
  test.each([
    ['answers 500', { status: 500 }, EVERY_100_MS],
    ['hangs', { delayMs: 60_000 }, { ...EVERY_100_MS, timeoutMs: 50 }],
    ['closes without an answer', { closeBeforeHeaders: true }, EVERY_100_MS],
    ['answers with what is no HTTP', { garbage: true }, EVERY_100_MS],
  ])(
    '[P-14] that %s so many times in a row takes its endpoint out, and one that passes brings it back',
    async (_, ill, healthCheck) => {
      const [a, b] = await fakes('a', 'b');
      const door = await openDoor();
      await door.put(pool('chat', [backend(a), backend(b)], { strategy: 'Failover', healthCheck }));
      await eventually('checked', () => checksOf(a).length >= 2);
      expect(await stateOf(door, 'a')).toBe('ready');
      a.behave(ill);
      await becomes(door, 'a', 'unhealthy');
      expect(await seriesOf(door, 'sluice_endpoints', { backend: 'a', state: 'unhealthy' })).toBe(1);
      expect(await statusesOf(door, 10)).toEqual(Array(10).fill(200));
      expect([callsOf(a).length, callsOf(b).length]).toEqual([0, 10]);
      a.behave();
      await becomes(door, 'a', 'ready');
      // It takes up its load slowly.
      await eventually('a serves', async () => {
        expect(await statusesOf(door, 5)).toEqual(Array(5).fill(200));
        return callsOf(a).length > 0;
      });
    },
  );

  test('that fails once takes nobody out', async () => {
    const [a] = await fakes('a');
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)], { healthCheck: { ...EVERY_100_MS, unhealthyThreshold: 2 } }));
    a.behaveNext({ status: 500 }, {}, { status: 500 }, {}, { status: 500 }, {});
    const seen = new Set<string>();
    await eventually('checked', async () => {
      seen.add(await stateOf(door, 'a'));
      return checksOf(a).length >= 6;
    });
    expect(seen).toEqual(new Set(['ready']));
  });

  test('of a server that refuses connections takes it out, and finds it once it is there', async () => {
    const [b] = await fakes('b');
    const port = await freePort();
    const door = await openDoor();
    const a = { name: 'a', url: `http://127.0.0.1:${port}` };
    await door.put(pool('chat', [backend(a), backend(b)], { strategy: 'Failover', healthCheck: EVERY_100_MS }));
    await becomes(door, 'a', 'unhealthy');
    const back = await startFakeLlm({ name: 'a', port });
    try {
      await becomes(door, 'a', 'ready');
    } finally {
      await back.stop();
    }
  });

  test.each([401, 404, 403, 405])('that is answered %i says that the server is alive', async (status) => {
    const [a] = await fakes('a');
    a.behave({ status });
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)], { healthCheck: { ...EVERY_100_MS, unhealthyThreshold: 1 } }));
    await eventually('checked', () => checksOf(a).length >= 4);
    expect(await stateOf(door, 'a')).toBe('ready');
  });

  test('that passes ends the rest of an endpoint that failed, but not the rest of one that was rate limited', async () => {
    const [a, b, c] = await fakes('a', 'b', 'c');
    const door = await openDoor();
    const ejection = { consecutiveFailures: 1, failureMs: 300_000, rateLimitedMs: 300_000 };
    const rules = { strategy: 'Failover', ejection, retry: { backoffMs: 0 } };
    const healthCheck = { ...EVERY_100_MS, intervalMs: 300 };
    await door.put(pool('chat', [backend(a), backend(b), backend(c)], { ...rules, healthCheck }));
    a.behave({ status: 500 });
    b.behave({ status: 429 });
    expect(await statusesOf(door, 1)).toEqual([200]);
    expect([callsOf(a).length, callsOf(b).length, callsOf(c).length]).toEqual([1, 1, 1]);
    for (const server of [a, b]) server.behave();
    await becomes(door, 'a', 'ready');
    const checks = checksOf(b).length;
    await eventually('b is checked as well', () => checksOf(b).length >= checks + 2);
    expect(await stateOf(door, 'b')).toBe('cooling');
  });

  test('is not sent where there is none, and no more once it is taken out', async () => {
    const [without, checked] = await fakes('without', 'checked');
    const door = await openDoor();
    const both = (healthCheck?: object) => [
      pool('without', [backend(without)]),
      pool('chat', [backend(checked)], healthCheck === undefined ? {} : { healthCheck }),
    ];
    await door.put(...both(EVERY_100_MS));
    await eventually('checked', () => checksOf(checked).length >= 5);
    expect(without.calls).toHaveLength(0);
    await door.put(...both(), pool('third', [backend(without)], { healthCheck: EVERY_100_MS }));
    const before = checked.calls.length;
    await eventually('the third is checked', () => without.calls.length >= 5);
    expect(checked.calls.length - before).toBeLessThanOrEqual(1);
  });

  test('goes to its path, below the base or from the root, with the backend’s headers and query', async () => {
    const [a, b, tei] = await fakes('a', 'b', 'tei');
    const door = await openDoor();
    const settings = {
      headers: [
        { name: 'authorization', value: 'Bearer its-key' },
        { name: 'x-team', value: 'search' },
      ],
      query: [{ name: 'api-version', value: '2024' }],
    };
    await door.put(
      pool('below', [backend(a, settings)], { healthCheck: EVERY_100_MS }),
      pool('root', [backend(b, settings)], { healthCheck: { ...EVERY_100_MS, path: '/health' } }),
      instance('bge', tei, { healthCheck: { ...EVERY_100_MS, path: '/health' } }),
    );
    await eventually('checked', () => [a, b, tei].every(({ calls }) => calls.length > 0));
    const seen = [a, b, tei].map(({ calls }) => calls[0]);
    expect(seen.map((call) => `${call?.method} ${call?.path}`)).toEqual([
      ...['GET /v1/models?api-version=2024', 'GET /health?api-version=2024', 'GET /health'],
    ]);
    for (const call of seen.slice(0, 2)) {
      expect(call?.headers).toMatchObject({ authorization: 'Bearer its-key', 'x-team': 'search' });
    }
    expect(seen[2]?.headers.authorization).toBeUndefined();
  });

  test('ends at its own timeout, and one that hangs delays no other', async () => {
    const [a, b] = await fakes('a', 'b');
    a.behave({ delayMs: 60_000 });
    const door = await openDoor();
    await door.put(pool('chat', [backend(a), backend(b)], { healthCheck: { ...EVERY_100_MS, timeoutMs: 250 } }));
    await becomes(door, 'a', 'unhealthy');
    await expect.poll(() => checksOf(a)[0]?.cancelledAtMs).toBeDefined();
    const [check] = checksOf(a);
    const took = (check?.cancelledAtMs ?? 0) - (check?.atMs ?? 0);
    expect(took).toBeGreaterThan(200);
    expect(took).toBeLessThan(450);
    expect(checksOf(b).length).toBeGreaterThan(checksOf(a).length);
  });

  test('spends no slot and no count of its endpoint', async () => {
    const [a] = await fakes('a');
    const door = await openDoor();
    await door.put(pool('chat', [backend(a, { maxConcurrent: 1 })], { maxConcurrent: 1, healthCheck: EVERY_100_MS }));
    a.behave({ delayMs: 400 });
    await eventually('a check is under way', () => a.open() > 0);
    expect(await door.pool()).toMatchObject({ inFlight: 0, endpoints: [{ inFlight: 0 }] });
    expect(await statusesOf(door, 1)).toEqual([200]);
    expect(await seriesOf(door, 'sluice_attempts_total', { backend: 'a', outcome: 'success' })).toBe(1);
  });
});

describe('a pool of which no endpoint is healthy', () => {
  test('[P-20] says so with 503, and when the next check may find one: not before, and then a call is served', async () => {
    const [a, b] = await fakes('a', 'b');
    for (const server of [a, b]) server.behave({ status: 500 });
    const door = await openDoor();
    const healthCheck = { ...EVERY_100_MS, intervalMs: 2_000, unhealthyThreshold: 1 };
    await door.put(pool('chat', [backend(a), backend(b)], { healthCheck }));
    await becomes(door, 'a', 'unhealthy');
    await becomes(door, 'b', 'unhealthy');
    const error = await errorOf(await door.post(CHAT, chat()));
    expect(error).toMatchObject({ status: 503, code: 'no_healthy_endpoints' });
    expect(error.message).toContain('No healthy providers available');
    const seconds = Number(error.retryAfter);
    expect(seconds).toBeGreaterThanOrEqual(1);
    expect(seconds).toBeLessThanOrEqual(3);
    expect([callsOf(a).length, callsOf(b).length]).toEqual([0, 0]);
    for (const server of [a, b]) server.behave();
    const toldAt = performance.now();
    await eventually('the time is over', () => performance.now() - toldAt > seconds * 1000 + 100);
    expect(await statusesOf(door, 1)).toEqual([200]);
  });

  test('is asked for nothing while it has a tier that is', async () => {
    const dead = await rawServer('dead', (socket) => void socket.destroy());
    const [spare] = await fakes('spare');
    const door = await openDoor();
    await door.put(pool('chat', [backend(dead), backend(spare, { tier: 1 })], { healthCheck: EVERY_100_MS }));
    await becomes(door, 'dead', 'unhealthy');
    expect(await statusesOf(door, 5)).toEqual(Array(5).fill(200));
    expect(await seriesOf(door, 'sluice_attempts_total', { backend: 'dead', outcome: 'cut' })).toBeUndefined();
  });
});
