import { describe, expect, test } from 'vitest';
import { backend, chat, errorOf, fakes, httpPost, instance, openDoor, pool, rawClient } from './door.ts';

const CHAT = '/v1/chat/completions';
const STREAM = chat('chat', { stream: true });
const LONG = 20_000;

describe('time limits', () => {
  test.each([
    ['no head', { delayMs: LONG }],
    ['a head without a first byte', { firstByteDelayMs: LONG }],
    ['a failure without a first byte', { status: 500, firstByteDelayMs: LONG }],
  ])('%s within firstByte cancels there and goes to another endpoint', async (_, behaviour) => {
    const [a, b] = await fakes('a', 'b');
    a.behave(behaviour);
    const door = await openDoor();
    const rules = { strategy: 'Failover', timeouts: { firstByteMs: 100 } };
    await door.put(pool('chat', [backend(a), backend(b)], rules));
    for (const body of [chat(), STREAM]) {
      const response = await door.post(CHAT, body);
      expect([response.status, response.headers.get('x-sluice-backend')]).toEqual([200, 'b']);
      await response.text();
    }
    await expect.poll(() => a.calls.every(({ cancelledAtMs }) => cancelledAtMs !== undefined)).toBe(true);
    expect(await door.metrics()).toContain('sluice_attempts_total{pool="ml/chat",backend="a",outcome="timeout"} 2');
  });

  test('where all are too late, 502 says so', async () => {
    const [a] = await fakes('a');
    a.behave({ delayMs: LONG });
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)], { timeouts: { firstByteMs: 50 }, retry: { attempts: 2, backoffMs: 1 } }));
    const error = await errorOf(await door.post(CHAT, chat()));
    expect(error).toMatchObject({ status: 502, code: 'upstream_error' });
    expect(error.message).toContain('no first byte within 50 ms');
  });

  test('[V-11] timeouts.request ends a call with 504, cancels upstream and gives back its slot', async () => {
    const [a] = await fakes('a');
    a.behave({ delayMs: LONG });
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)], { timeouts: { requestMs: 150 } }));
    const before = performance.now();
    const error = await errorOf(await door.post(CHAT, chat()));
    const afterMs = performance.now() - before;
    expect(error).toMatchObject({ status: 504, code: 'timeout', type: 'server_error' });
    expect(afterMs).toBeGreaterThan(140);
    await expect.poll(() => a.calls[0]?.cancelledAtMs).toBeDefined();
    expect((a.calls[0]?.cancelledAtMs ?? Infinity) - before).toBeLessThan(150 + 200);
    expect(await door.pool()).toMatchObject({ inFlight: 0, endpoints: [{ inFlight: 0 }] });
  });

  test('timeouts.request covers a unary answer to its end: one that is late in mid-body is cut', async () => {
    const [a] = await fakes('a');
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)], { timeouts: { requestMs: 200 } }));
    a.behave({ headers: { 'content-length': '400000' }, stallAfterChunks: 1 });
    const client = await rawClient(door.port);
    client.send(httpPost(CHAT, chat()));
    expect(await client.closed).toMatch(/^HTTP\/1.1 200 OK/);
    await expect.poll(() => a.open()).toBe(0);
  });

  test('a stream may go on after its first byte as long as it likes', async () => {
    const [a] = await fakes('a');
    a.behave({ chunks: 6, intervalMs: 60 });
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)], { timeouts: { requestMs: 150 } }));
    const text = await (await door.post(CHAT, STREAM)).text();
    expect(text).toMatch(/data: \[DONE\]\n\n$/);
    expect(text).not.toContain('"error"');
  });

  test('a stream that falls silent for longer than idle ends with an error event', async () => {
    const [a] = await fakes('a');
    a.behave({ stallAfterChunks: 2 });
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)], { timeouts: { idleMs: 200 } }));
    const client = await rawClient(door.port);
    client.send(httpPost(CHAT, STREAM));
    const answer = await client.closed;
    expect(answer).toContain('a 0 ');
    expect(answer).toMatch(/data: \{"error":\{[^\n]*"code":"upstream_disconnected"\}\}\n\n\r\n$/);
    expect(answer).not.toContain('[DONE]');
    await expect.poll(() => a.open()).toBe(0);
    expect(await door.metrics()).toContain('sluice_attempts_total{pool="ml/chat",backend="a",outcome="timeout"} 1');
  });

  test('a connection that is never made counts as connect and moves on', async () => {
    const [b] = await fakes('b');
    const door = await openDoor();
    // TEST-NET-1: nothing answers there.
    const a = { name: 'a', url: 'http://192.0.2.1:81' };
    await door.put(pool('chat', [a, backend(b)], { strategy: 'Failover', timeouts: { connectMs: 100 } }));
    const response = await door.post(CHAT, chat());
    expect([response.status, response.headers.get('x-sluice-attempts')]).toEqual([200, '2']);
    expect(await door.metrics()).toContain('backend="a",outcome="connect"} 1');
  });

  test('an instance has its own deadline', async () => {
    const [a] = await fakes('a');
    a.behave({ delayMs: LONG });
    const door = await openDoor();
    await door.put(instance('bge', a, { timeouts: { requestMs: 100 } }));
    expect(await errorOf(await door.post('/instances/bge/embed', {}))).toMatchObject({ status: 504, code: 'timeout' });
  });

  test('a call that waits for a slot when its time is over is told 504, and nothing is sent for it', async () => {
    const [a] = await fakes('a');
    a.behave({ delayMs: 600 });
    const door = await openDoor();
    await door.put(pool('chat', [backend(a, { maxConcurrent: 1 })], { timeouts: { requestMs: 0 } }));
    const first = door.post(CHAT, chat());
    await expect.poll(() => a.calls.length).toBe(1);
    await door.put(pool('chat', [backend(a, { maxConcurrent: 1 })], { timeouts: { requestMs: 100 } }));
    expect(await errorOf(await door.post(CHAT, chat()))).toMatchObject({ status: 504, code: 'timeout' });
    expect((await first).status).toBe(200);
    expect(a.calls).toHaveLength(1);
  });
});
