import { describe, expect, test } from 'vitest';
import { backend, chat, errorOf, fakes, openDoor, pool } from './door.ts';

const CHAT = '/v1/chat/completions';

describe('slots', () => {
  test('an endpoint never has more calls than its maxConcurrent, whatever comes', async () => {
    const [a, b] = await fakes('a', 'b');
    for (const server of [a, b]) server.behave({ delayMs: 5 });
    const door = await openDoor();
    await door.put(pool('chat', [backend(a, { maxConcurrent: 3 }), backend(b, { maxConcurrent: 2 })]));
    let most = [0, 0];
    const watch = setInterval(() => {
      most = [Math.max(most[0] ?? 0, a.open()), Math.max(most[1] ?? 0, b.open())];
    }, 1);
    const answers = await Promise.all(Array.from({ length: 100 }, () => door.post(CHAT, chat())));
    clearInterval(watch);
    expect(answers.every(({ status }) => status === 200)).toBe(true);
    expect(most[0]).toBeLessThanOrEqual(3);
    expect(most[1]).toBeLessThanOrEqual(2);
    expect(await door.pool()).toMatchObject({ inFlight: 0, endpoints: [{ inFlight: 0 }, { inFlight: 0 }] });
  });

  test('[P-6] a pool never has more calls than its own; the rest wait, first come first served', async () => {
    const [a] = await fakes('a');
    a.behave({ delayMs: 30 });
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)], { maxConcurrent: 1 }));
    const answers: Promise<Response>[] = [];
    for (let n = 0; n < 6; n += 1) {
      answers.push(door.post(CHAT, chat('chat', { n })));
      const open = n + 1;
      await expect
        .poll(async () => {
          const { inFlight, queue } = await door.pool();
          return inFlight + queue.depth + a.calls.filter(({ done }) => done).length;
        })
        .toBeGreaterThanOrEqual(open);
      expect((await door.pool()).inFlight).toBeLessThanOrEqual(1);
    }
    for (const answer of answers) expect((await answer).status).toBe(200);
    expect(a.calls.map(({ body }) => JSON.parse(body.toString()).n)).toEqual([0, 1, 2, 3, 4, 5]);
  });

  test('[P-6] whoever finds the queue full is told 503 and when to come again', async () => {
    const [a] = await fakes('a');
    a.behave({ delayMs: 300 });
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)], { maxConcurrent: 1, queue: { maxDepth: 2 } }));
    const answers = Array.from({ length: 3 }, () => door.post(CHAT, chat()));
    await expect.poll(async () => (await door.pool()).queue.depth).toBe(2);
    const error = await errorOf(await door.post(CHAT, chat()));
    expect(error).toMatchObject({ status: 503, code: 'queue_full', type: 'server_error' });
    expect(Number(error.retryAfter)).toBeGreaterThanOrEqual(1);
    for (const answer of answers) expect((await answer).status).toBe(200);
  });

  test('[P-6] whoever waits longer than queue.timeout is told 503 and when to come again', async () => {
    const [a] = await fakes('a');
    a.behave({ delayMs: 400 });
    const door = await openDoor();
    await door.put(pool('chat', [backend(a, { maxConcurrent: 1 })], { queue: { timeoutMs: 100 } }));
    const first = door.post(CHAT, chat());
    await expect.poll(() => a.calls.length).toBe(1);
    const error = await errorOf(await door.post(CHAT, chat()));
    expect(error).toMatchObject({ status: 503, code: 'queue_timeout' });
    expect(Number(error.retryAfter)).toBeGreaterThanOrEqual(1);
    expect((await first).status).toBe(200);
    expect(a.calls).toHaveLength(1);
  });

  test('the wait that Retry-After names follows how long calls take of late', async () => {
    const [a] = await fakes('a');
    a.behave({ delayMs: 1_200 });
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)], { maxConcurrent: 2, queue: { maxDepth: 4 } }));
    const answers = Array.from({ length: 6 }, () => door.post(CHAT, chat()));
    await expect.poll(async () => (await door.pool()).queue.depth).toBe(4);
    const told = async (): Promise<number> => Number((await errorOf(await door.post(CHAT, chat()))).retryAfter);
    // Five waiting or about to, two at a time, about a second each.
    expect(await told()).toBe(3);
    for (let n = 0; n < 50; n += 1) expect(await told(), 'refusals are no calls').toBe(3);
    await Promise.all(answers);
  });

  test('a full endpoint is passed over at once while another of its tier is free, with every strategy', async () => {
    for (const strategy of ['Weighted', 'RoundRobin', 'Failover']) {
      const [a, b] = await fakes('a', 'b');
      for (const server of [a, b]) server.behave({ delayMs: 200 });
      const door = await openDoor();
      const limit = { maxConcurrent: 1 };
      await door.put(pool('chat', [backend(a, limit), backend(b, limit)], { strategy }));
      const before = performance.now();
      await Promise.all([door.post(CHAT, chat()), door.post(CHAT, chat())]);
      expect(performance.now() - before).toBeLessThan(390);
      expect([a.calls.length, b.calls.length]).toEqual([1, 1]);
    }
  });

  test('a call that fails over while others wait for its pool slot does not wait for them', async () => {
    const [a, b] = await fakes('a', 'b');
    a.behave({ status: 500, delayMs: 50 });
    const door = await openDoor();
    const rules = { strategy: 'Failover', maxConcurrent: 1, queue: { timeoutMs: 2_000 } };
    await door.put(pool('chat', [backend(a), backend(b)], rules));
    const answers = await Promise.all(Array.from({ length: 5 }, () => door.post(CHAT, chat())));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
    expect(b.calls).toHaveLength(5);
  });

  test('[P-8] a slow pool holds up no other', async () => {
    const [slow, quick] = await fakes('slow', 'quick');
    slow.behave({ delayMs: 1_000 });
    const door = await openDoor();
    await door.put(
      pool('slow', [backend(slow, { maxConcurrent: 1 })], { queue: { maxDepth: 10 } }),
      pool('quick', [backend(quick)]),
    );
    const waiting = Array.from({ length: 30 }, () => door.post(CHAT, chat('slow')).then(({ status }) => status));
    await expect.poll(async () => (await door.pool('slow')).queue.depth).toBe(10);
    const before = performance.now();
    for (let n = 0; n < 20; n += 1) expect((await door.post(CHAT, chat('quick'))).status).toBe(200);
    expect(performance.now() - before).toBeLessThan(900);
    await door.put(pool('slow', [backend(slow)]));
    const statuses = await Promise.all(waiting);
    expect(statuses.filter((status) => status === 503)).toHaveLength(19);
    expect(statuses.filter((status) => status === 200)).toHaveLength(11);
  });
});
