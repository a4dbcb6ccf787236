import { describe, expect, test } from 'vitest';
import { backend, chat, fakes, httpPost, openDoor, pool, rawClient } from './door.ts';
import { clientKeys, keyed, withKey } from './door-credentials.ts';

const CHAT = '/v1/chat/completions';

describe('the queue', () => {
  test.each([
    ['whatever keys they have', {}],
    ['under their names, where the pool knows them', keyed('c1')],
  ])('gives clients turns, %s: one that sends ten does not hold up one that sends two', async (_, access) => {
    const [a] = await fakes('a');
    a.behave({ delayMs: 20 });
    const door = await openDoor();
    await door.put(
      pool('chat', [backend(a)], { maxConcurrent: 1, ...access }),
      clientKeys('chat', 'c1', { many: 'key-of-many', few: 'key-of-few' }),
    );
    a.behaveNext({ delayMs: 500 });
    const answers = [door.post(CHAT, chat('chat', { by: 'first' }), withKey('key-of-many'))];
    await expect.poll(() => a.calls.length).toBe(1);
    const send = async (by: string, calls: number): Promise<void> => {
      for (let n = 0; n < calls; n += 1) {
        const depth = answers.length;
        answers.push(door.post(CHAT, chat('chat', { by: `${by}-${n}` }), withKey(`key-of-${by}`)));
        await expect.poll(async () => (await door.pool()).queue.depth, { interval: 2 }).toBe(depth);
      }
    };
    await send('many', 6);
    await send('few', 2);
    for (const answer of answers) expect((await answer).status).toBe(200);
    const order = a.calls.map(({ body }) => (JSON.parse(body.toString()) as { by: string }).by);
    expect(order).toEqual([
      ...['first', 'many-0', 'few-0', 'many-1', 'few-1'],
      ...['many-2', 'many-3', 'many-4', 'many-5'],
    ]);
  });

  test('lets go of a client that leaves it: its place is free, and nothing is sent for it', async () => {
    const [a] = await fakes('a');
    a.behave({ delayMs: 300 });
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)], { maxConcurrent: 1, queue: { maxDepth: 1 } }));
    const first = door.post(CHAT, chat());
    await expect.poll(() => a.calls.length).toBe(1);
    const leaver = await rawClient(door.port);
    leaver.send(httpPost(CHAT, chat('chat', { by: 'leaver' })));
    await expect.poll(async () => (await door.pool()).queue.depth, { interval: 5 }).toBe(1);
    leaver.socket.destroy();
    await expect.poll(async () => (await door.pool()).queue.depth, { interval: 5 }).toBe(0);
    const last = door.post(CHAT, chat('chat', { by: 'last' }));
    expect([(await first).status, (await last).status]).toEqual([200, 200]);
    expect(a.calls.map(({ body }) => (JSON.parse(body.toString()) as { by?: string }).by)).toEqual([undefined, 'last']);
    expect(await door.pool()).toMatchObject({ inFlight: 0, queue: { depth: 0 } });
  });

  test.each(['Weighted', 'RoundRobin', 'Failover', 'LeastRequest', 'PrefixHash'])(
    '[P-9] is left after spillAfter for the next tier, with strategy %s and limits of 1, 2, 5 and 10',
    async (strategy) => {
      const spillAt = async (maxConcurrent: number): Promise<void> => {
        const [a, spare] = await fakes('a', 'spare');
        for (const server of [a, spare]) server.behave({ delayMs: 400 });
        const door = await openDoor();
        const backends = [backend(a, { maxConcurrent }), backend(spare, { tier: 1 })];
        await door.put(pool('chat', backends, { strategy, queue: { spillAfterMs: 100 } }));
        const startedAt = performance.now();
        const answers = await Promise.all(Array.from({ length: maxConcurrent + 1 }, () => door.post(CHAT, chat())));
        expect(answers.map(({ status }) => status)).toEqual(Array(maxConcurrent + 1).fill(200));
        expect([a.calls.length, spare.calls.length]).toEqual([maxConcurrent, 1]);
        expect((spare.calls[0]?.atMs ?? 0) - startedAt).toBeGreaterThanOrEqual(99);
      };
      await Promise.all([1, 2, 5, 10].map(spillAt));
    },
  );

  test('a slot that comes free before spillAfter is taken: the next tier gets nothing', async () => {
    const [a, spare] = await fakes('a', 'spare');
    a.behave({ delayMs: 30 });
    const door = await openDoor();
    await door.put(
      pool('chat', [backend(a, { maxConcurrent: 1 }), backend(spare, { tier: 1 })], { queue: { spillAfterMs: 2_000 } }),
    );
    await Promise.all(Array.from({ length: 6 }, () => door.post(CHAT, chat())));
    expect([a.calls.length, spare.calls.length]).toEqual([6, 0]);
  });
});
