import { describe, expect, test } from 'vitest';
import { backend, chat, type Door, errorOf, fakes, httpPost, openDoor, pool, rawClient } from './door.ts';

const CHAT = '/v1/chat/completions';
const STREAM = chat('chat', { stream: true });

async function servedBy(door: Door, model = 'chat'): Promise<string> {
  const response = await door.post(CHAT, chat(model));
  expect(response.status).toBe(200);
  await response.text();
  return response.headers.get('x-sluice-backend') ?? '';
}

describe('a change of documents', () => {
  test('is what the next call follows', async () => {
    const [a, b] = await fakes('a', 'b');
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)]));
    expect(await servedBy(door)).toBe('a');
    await door.put(pool('chat', [backend(b)]));
    expect(await servedBy(door)).toBe('b');
    await door.put(pool('chat', [backend(b)], { models: ['other'] }));
    expect((await errorOf(await door.post(CHAT, chat()))).code).toBe('model_not_found');
    expect(await servedBy(door, 'other')).toBe('b');
  });

  test('to names that read the same when put in a row is a change', async () => {
    const [a] = await fakes('a');
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)], { models: ['one two'] }));
    expect(await servedBy(door, 'one two')).toBe('a');
    await door.put(pool('chat', [backend(a)], { models: ['one', 'two'] }));
    expect(await servedBy(door, 'two')).toBe('a');
    expect((await door.post(CHAT, chat('one two'))).status).toBe(404);
  });

  test('[V-5] leaves the split exact over every period, edits between the calls or not', async () => {
    const [a, b, c] = await fakes('a', 'b', 'c');
    const door = await openDoor();
    const weighted = (n: number): Record<string, unknown> =>
      pool('chat', [backend(a, { weight: 5 }), backend(b, { weight: 3 }), backend(c, { weight: 2 })], {
        timeouts: { requestMs: 100_000 + n },
      });
    const order: string[] = [];
    for (let n = 0; n < 40; n += 1) {
      await door.put(weighted(n));
      order.push(await servedBy(door));
    }
    for (let start = 0; start + 10 <= order.length; start += 1) {
      const run = order.slice(start, start + 10);
      expect(['a', 'b', 'c'].map((name) => run.filter((one) => one === name).length)).toEqual([5, 3, 2]);
    }
  });

  test('an edit while fifty calls are in flight fails none of them', async () => {
    const [a, b] = await fakes('a', 'b');
    for (const server of [a, b]) server.behave({ delayMs: 100, chunks: 5, intervalMs: 20 });
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)]));
    const calls = Array.from({ length: 50 }, (_, n) => door.post(CHAT, n % 2 === 0 ? chat() : STREAM));
    await expect.poll(() => a.calls.length).toBe(50);
    for (let n = 0; n < 20; n += 1) {
      await door.put(pool('chat', [n % 2 === 0 ? backend(b) : backend(a)], { timeouts: { connectMs: 1_000 + n } }));
    }
    for (const call of calls) {
      const response = await call;
      expect(response.status).toBe(200);
      expect(await response.text()).toMatch(/a/);
    }
    expect(await door.pool()).toMatchObject({ inFlight: 0 });
  });

  test('calls that come while documents change without pause all succeed', async () => {
    const [a, b] = await fakes('a', 'b');
    const door = await openDoor();
    await door.put(pool('chat', [backend(a), backend(b)]));
    let done = false;
    const statuses: number[] = [];
    const callers = Array.from({ length: 8 }, async () => {
      while (!done) {
        const response = await door.post(CHAT, chat());
        await response.text();
        statuses.push(response.status);
      }
    });
    for (let n = 0; n < 200; n += 1) {
      const backends = [[backend(a)], [backend(b)], [backend(a), backend(b, { weight: n + 1 })]][n % 3] ?? [];
      await door.put(pool('chat', backends, { timeouts: { connectMs: 1_000 + (n % 5) } }));
    }
    done = true;
    await Promise.all(callers);
    expect(statuses.length).toBeGreaterThan(50);
    expect(statuses.filter((status) => status !== 200)).toEqual([]);
  });

  test('a stream of a backend, and of a pool, that is removed ends as it would have', async () => {
    const [a, b] = await fakes('a', 'b');
    const door = await openDoor();
    const documents = [pool('chat', [backend(a)]), pool('chat', [backend(b)])];
    for (const [first, then] of [documents, [documents[1], undefined]] as const) {
      if (first === undefined) throw new Error('unreachable');
      await door.put(first);
      const server = first === documents[0] ? a : b;
      server.behave({ chunks: 8, intervalMs: 25 });
      const client = await rawClient(door.port);
      client.send(httpPost(CHAT, STREAM));
      await client.until(`${server.name} 1 `);
      if (then === undefined) await door.remove(first);
      else await door.put(then);
      expect(await client.until('[DONE]')).toContain(`${server.name} 7 `);
      await expect.poll(() => server.connections(), { timeout: 3_000 }).toBe(0);
    }
    expect((await door.post(CHAT, chat())).status).toBe(404);
  });

  test('a call that waits for a slot goes to an endpoint that has come', async () => {
    const [a, b] = await fakes('a', 'b');
    a.behave({ delayMs: 20_000 });
    const door = await openDoor();
    await door.put(pool('chat', [backend(a, { maxConcurrent: 1 })]));
    void door.post(CHAT, chat()).catch(() => undefined);
    await expect.poll(() => a.calls.length).toBe(1);
    const waiting = door.post(CHAT, chat());
    await expect.poll(async () => (await door.pool()).queue.depth).toBe(1);
    await door.put(pool('chat', [backend(a, { maxConcurrent: 1 }), backend(b)]));
    expect((await waiting).headers.get('x-sluice-backend')).toBe('b');
  });

  test('calls that wait in a pool that goes are told so at once', async () => {
    const [a] = await fakes('a');
    a.behave({ delayMs: 20_000 });
    const door = await openDoor();
    const document = pool('chat', [backend(a, { maxConcurrent: 1 })]);
    await door.put(document);
    void door.post(CHAT, chat()).catch(() => undefined);
    await expect.poll(() => a.calls.length).toBe(1);
    const waiting = door.post(CHAT, chat());
    await expect.poll(async () => (await door.pool()).queue.depth).toBe(1);
    await door.remove(document);
    expect(await errorOf(await waiting)).toMatchObject({ status: 503, code: 'no_healthy_endpoints' });
  });

  test('a smaller maxConcurrent holds from the next call on, counting those in flight', async () => {
    const [a] = await fakes('a');
    a.behave({ delayMs: 200 });
    const door = await openDoor();
    await door.put(pool('chat', [backend(a, { maxConcurrent: 4 })]));
    const first = Array.from({ length: 4 }, () => door.post(CHAT, chat()));
    await expect.poll(() => a.open()).toBe(4);
    await door.put(pool('chat', [backend(a, { maxConcurrent: 1 })]));
    let most = 0;
    const rest = Array.from({ length: 3 }, () => door.post(CHAT, chat()));
    await Promise.all(first);
    const watch = setInterval(() => {
      most = Math.max(most, a.open());
    }, 2);
    expect((await Promise.all(rest)).map(({ status }) => status)).toEqual([200, 200, 200]);
    clearInterval(watch);
    expect(most).toBe(1);
  });

  test('a document that cannot be served leaves the last good one, and touches no other pool', async () => {
    const [a] = await fakes('a');
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)]), pool('other', [backend(a)]));
    for (const broken of [
      pool('chat', [{ name: 'x', url: 'http://169.254.169.254/' }]),
      pool('chat', [backend(a)], { strategy: 'Nonsense' }),
      pool('chat', [backend(a, { headers: [{ name: 'x', valueFrom: { secret: 's', key: 'k' } }] })], {
        credentials: { id: 'never' },
      }),
      pool('chat', [backend(a)], { format: 2 }),
    ]) {
      await door.put(broken);
      expect([await servedBy(door), await servedBy(door, 'other')]).toEqual(['a', 'a']);
    }
    expect(await door.metrics()).toMatch(/sluice_config_documents\{state="rejected"\} 1/);
    await door.put(pool('chat', [backend(a)], { models: ['chat', 'mended'] }));
    expect(await servedBy(door, 'mended')).toBe('a');
  });

  test('a name that moves from one pool to another is always somebody’s', async () => {
    const [a, b] = await fakes('a', 'b');
    const door = await openDoor();
    const one = (models: string[]): Record<string, unknown> => pool('one', [backend(a)], { models });
    const two = (models: string[]): Record<string, unknown> => pool('two', [backend(b)], { models });
    await door.put(one(['chat']), two([]));
    let done = false;
    const statuses = new Set<number>();
    const caller = (async () => {
      while (!done) {
        const response = await door.post(CHAT, chat());
        await response.text();
        statuses.add(response.status);
      }
    })();
    for (let n = 0; n < 50; n += 1) {
      // In one read, and in two of which the second takes it away.
      if (n % 2 === 0) await door.put(one([]), two(['chat']));
      else {
        await door.put(one(['chat']));
        await door.put(two([]));
      }
    }
    done = true;
    await caller;
    expect([...statuses]).toEqual([200]);
  });
});
