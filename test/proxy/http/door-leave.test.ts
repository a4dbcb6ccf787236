import { describe, expect, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import type { FakeLlm } from '../../support/fake-llm.ts';
import { backend, chat, type Door, fakes, httpPost, openDoor, pool, rawClient } from './door.ts';

const CHAT = '/v1/chat/completions';
const STREAM = chat('chat', { stream: true });
const LONG = 20_000;
/** CONTRACT §3. */
const CANCELLED_WITHIN_MS = 200;

async function cancelledAfter(server: FakeLlm, leftAtMs: number, call = 0): Promise<void> {
  const at = await eventually('the upstream is cancelled', () => server.calls[call]?.cancelledAtMs);
  expect(at - leftAtMs).toBeLessThan(CANCELLED_WITHIN_MS);
}

async function nothingHeld(door: Door): Promise<void> {
  await expect
    .poll(async () => door.pool())
    .toMatchObject({ inFlight: 0, queue: { depth: 0 }, endpoints: [{ inFlight: 0 }] });
}

describe('a client that leaves', () => {
  test.each([
    ['before the head of the answer', { delayMs: LONG }, chat()],
    ['between head and first byte', { firstByteDelayMs: LONG }, chat()],
    ['in mid-stream', { stallAfterChunks: 2 }, STREAM],
    ['while a failed answer is read', { status: 500, firstByteDelayMs: LONG }, chat()],
  ])('%s cancels the upstream within 200 ms and frees the slot', async (_, behaviour, body) => {
    const [a] = await fakes('a');
    a.behave(behaviour);
    const door = await openDoor();
    await door.put(pool('chat', [backend(a, { maxConcurrent: 1 })]));
    const client = await rawClient(door.port);
    client.send(httpPost(CHAT, body));
    await expect.poll(() => a.calls.length).toBe(1);
    if (body === STREAM) await client.until('a 0 ');
    const leftAt = performance.now();
    client.socket.destroy();
    await cancelledAfter(a, leftAt);
    await nothingHeld(door);
    a.behave();
    expect((await door.post(CHAT, chat())).status).toBe(200);
    expect(a.calls).toHaveLength(2);
  });

  test('by a reset does the same', async () => {
    const [a] = await fakes('a');
    a.behave({ stallAfterChunks: 2 });
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)]));
    const client = await rawClient(door.port);
    client.send(httpPost(CHAT, STREAM));
    await client.until('a 0 ');
    const leftAt = performance.now();
    client.socket.resetAndDestroy();
    await cancelledAfter(a, leftAt);
    await nothingHeld(door);
  });

  test('the queue gives up its place, and nothing is sent for it', async () => {
    const [a] = await fakes('a');
    a.behave({ delayMs: 300 });
    const door = await openDoor();
    await door.put(pool('chat', [backend(a, { maxConcurrent: 1 })]));
    const first = door.post(CHAT, chat());
    await expect.poll(() => a.calls.length).toBe(1);
    const gone = await rawClient(door.port);
    gone.send(httpPost(CHAT, chat('chat', { gone: true })));
    await expect.poll(async () => (await door.pool()).queue.depth).toBe(1);
    const next = door.post(CHAT, chat('chat', { next: true }));
    await expect.poll(async () => (await door.pool()).queue.depth).toBe(2);
    gone.socket.destroy();
    await expect.poll(async () => (await door.pool()).queue.depth, { interval: 10 }).toBe(1);
    expect([(await first).status, (await next).status]).toEqual([200, 200]);
    expect(a.calls.map(({ body }) => JSON.parse(body.toString()).gone)).toEqual([undefined, undefined]);
    await nothingHeld(door);
  });

  test('while its call pauses before another try is not tried for again', async () => {
    const [a] = await fakes('a');
    a.behave({ status: 500 });
    const door = await openDoor();
    const retry = { attempts: 3, backoffMs: 3_000_000 };
    await door.put(pool('chat', [backend(a, { maxConcurrent: 1 })], { retry, queue: { timeoutMs: 60_000 } }));
    const client = await rawClient(door.port);
    client.send(httpPost(CHAT, chat()));
    await expect.poll(async () => (await door.metrics()).includes('outcome="server_error"} 1')).toBe(true);
    a.behave({ stallAfterChunks: 1 });
    // The slot is another's by the time it leaves, so that it would have to wait for one.
    void door.post(CHAT, STREAM).catch(() => undefined);
    await expect.poll(() => a.calls.length).toBe(2);
    client.socket.destroy();
    await expect.poll(async () => (await door.pool()).inFlight).toBe(1);
    expect(await door.pool()).toMatchObject({ queue: { depth: 0 } });
    expect(a.calls).toHaveLength(2);
  });

  test('while its body is read leaves nothing behind, and nothing is sent', async () => {
    const [a] = await fakes('a');
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)]));
    for (const end of ['destroy', 'resetAndDestroy'] as const) {
      const client = await rawClient(door.port);
      client.send('POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{"model":');
      await expect.poll(() => client.socket.bytesWritten).toBeGreaterThan(0);
      client.socket[end]();
    }
    await expect.poll(() => door.log.filter((line) => line.includes('"status":499')).length).toBe(2);
    expect(a.calls).toHaveLength(0);
  });

  test('takes the call with it that is under way; what it had sent behind that is never begun', async () => {
    const [a] = await fakes('a');
    a.behave({ delayMs: LONG });
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)]));
    const client = await rawClient(door.port);
    for (let n = 0; n < 3; n += 1) client.send(httpPost(CHAT, chat()));
    await expect.poll(() => a.calls.length).toBe(1);
    const leftAt = performance.now();
    client.socket.destroy();
    await cancelledAfter(a, leftAt, 0);
    await nothingHeld(door);
    expect(a.calls).toHaveLength(1);
  });

  test('at any moment whatsoever leaves no slot taken and no call open', async () => {
    const [a] = await fakes('a');
    a.behave({ chunks: 20, intervalMs: 1 });
    const door = await openDoor();
    await door.put(pool('chat', [backend(a, { maxConcurrent: 4 })], { queue: { maxDepth: 30 } }));
    const clients = Array.from({ length: 120 }, async (_, n) => {
      const client = await rawClient(door.port);
      const bytes = httpPost(CHAT, STREAM);
      client.send(n % 3 === 0 ? bytes.slice(0, -5) : bytes);
      await new Promise((resolve) => setTimeout(resolve, (n * 7) % 61));
      if (n % 2 === 0) client.socket.destroy();
      else client.socket.resetAndDestroy();
    });
    await Promise.all(clients);
    await nothingHeld(door);
    await expect.poll(() => a.open()).toBe(0);
    await expect.poll(() => door.log.filter((line) => line.includes('"msg":"request"')).length).toBe(120);
  });
});
