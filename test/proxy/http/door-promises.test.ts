import OpenAI from 'openai';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { backend, chat, fakes, openDoor, pool, rawServer } from './door.ts';

const CHAT = '/v1/chat/completions';

/** A provider that answers so many calls and is rate limited from then on. */
async function provider(name: string, quota: number): Promise<{ name: string; url: string; served: () => number }> {
  let served = 0;
  const server = await rawServer(name, (socket) => {
    socket.on('data', () => {
      const isOver = served >= quota;
      if (!isOver) served += 1;
      const status = isOver ? '429 Too Many Requests' : '200 OK';
      socket.write(`HTTP/1.1 ${status}\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}`);
    });
  });
  return { ...server, served: () => served };
}

describe('what the documents of its forerunners promise', () => {
  test('[M-1] the quotas of several providers add up behind one API', async () => {
    const providers = [await provider('a', 10), await provider('b', 15), await provider('c', 20)];
    const door = await openDoor();
    await door.put(
      pool(
        'chat',
        providers.map((one) => backend(one)),
      ),
    );
    for (let n = 0; n < 45; n += 1) {
      const response = await door.post(CHAT, chat());
      expect(response.status, `call ${n}`).toBe(200);
      await response.text();
    }
    expect(providers.map(({ served }) => served())).toEqual([10, 15, 20]);
    expect((await door.post(CHAT, chat())).status).toBe(429);
  });

  test('[M-4] primaries and fallbacks are each a server, a weight and a model of its own', async () => {
    const [a, b, spare, last] = await fakes('a', 'b', 'spare', 'last');
    const door = await openDoor();
    await door.put(
      pool('chat', [
        backend(a, { weight: 5, model: 'model-a' }),
        backend(b, { weight: 3, model: 'model-b' }),
        backend(spare, { tier: 1, weight: 5, model: 'model-spare' }),
        backend(last, { tier: 1, weight: 3, model: 'model-last' }),
      ]),
    );
    const models = async (calls: number): Promise<Record<string, number>> => {
      const seen: Record<string, number> = {};
      for (let n = 0; n < calls; n += 1) {
        const { model } = (await (await door.post(CHAT, chat())).json()) as { model: string };
        seen[model] = (seen[model] ?? 0) + 1;
      }
      return seen;
    };
    expect(await models(16)).toEqual({ 'model-a': 10, 'model-b': 6 });
    for (const primary of [a, b]) primary.behave({ status: 429 });
    expect(await models(16)).toEqual({ 'model-spare': 10, 'model-last': 6 });
  });

  test('[V-1] one caller, unchanged: balanced, in parallel, failing over, backed up', async () => {
    const [a, b, spare] = await fakes('a', 'b', 'spare');
    for (const server of [a, b]) server.behave({ delayMs: 100 });
    const door = await openDoor();
    await door.put(pool('chat', [backend(a), backend(b), backend(spare, { tier: 1 })]));
    const client = new OpenAI({ baseURL: `${door.url}/v1`, apiKey: 'any', maxRetries: 0 });
    const ask = async (): Promise<string> => {
      const messages = [{ role: 'user' as const, content: 'Hi' }];
      const answer = await client.chat.completions.create({ model: 'chat', messages });
      return answer.choices[0]?.message.content ?? '';
    };
    const before = performance.now();
    const answers = await Promise.all(Array.from({ length: 20 }, ask));
    expect(performance.now() - before).toBeLessThan(1_500);
    expect(answers.filter((answer) => answer === 'a')).toHaveLength(10);
    expect(answers.filter((answer) => answer === 'b')).toHaveLength(10);
    await a.stop();
    expect(await Promise.all([ask(), ask(), ask(), ask()])).toEqual(['b', 'b', 'b', 'b']);
    b.behave({ status: 500 });
    expect(await Promise.all([ask(), ask(), ask()])).toEqual(['spare', 'spare', 'spare']);
  });

  test('[V-3] an endpoint is a url, a key or none, a name, a weight (1 if not said), and a primary if not said', async () => {
    const [open, keyed, spare] = await fakes('open', 'keyed', 'spare');
    const door = await openDoor();
    const headers = [{ name: 'authorization', value: 'Bearer its-key' }];
    await door.put(pool('chat', [backend(open), backend(keyed, { headers, weight: 2 }), backend(spare, { tier: 1 })]));
    const names: (string | null)[] = [];
    for (let n = 0; n < 9; n += 1) {
      const response = await door.post(CHAT, chat(), { headers: { authorization: 'Bearer mine' } });
      names.push(response.headers.get('x-sluice-backend'));
      await response.text();
    }
    expect(names.filter((name) => name === 'open')).toHaveLength(3);
    expect(names.filter((name) => name === 'keyed')).toHaveLength(6);
    expect(new Set(open.calls.map((call) => call.headers.authorization))).toEqual(new Set([undefined]));
    expect(new Set(keyed.calls.map((call) => call.headers.authorization))).toEqual(new Set(['Bearer its-key']));
    expect(spare.calls).toHaveLength(0);
  });

  test('[V-7] an endpoint that is all there is gets tried again after pauses that double', async () => {
    // The longest that full jitter allows.
    const random = vi.spyOn(Math, 'random').mockReturnValue(0.999);
    onTestFinished(() => random.mockRestore());
    const [a] = await fakes('a');
    a.behaveNext({ status: 500 }, { status: 500 }, { status: 500 });
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)], { retry: { attempts: 4, backoffMs: 60 } }));
    expect((await door.post(CHAT, chat())).status).toBe(200);
    const pauses = a.calls.slice(1).map(({ atMs }, index) => atMs - (a.calls[index]?.atMs ?? 0));
    expect(pauses).toHaveLength(3);
    for (const [index, pause] of pauses.entries()) expect(pause).toBeGreaterThan(55 * 2 ** index);
  });

  test('[V-8] calls run side by side over all endpoints, on connections that are kept', async () => {
    const [a, b] = await fakes('a', 'b');
    for (const server of [a, b]) server.behave({ delayMs: 100 });
    const door = await openDoor();
    await door.put(pool('chat', [backend(a), backend(b)]));
    const wave = (): Promise<Response[]> => Promise.all(Array.from({ length: 20 }, () => door.post(CHAT, chat())));
    const before = performance.now();
    const first = wave();
    await expect.poll(() => [a.open(), b.open()], { interval: 5 }).toEqual([10, 10]);
    await first;
    expect([a.connections(), b.connections()]).toEqual([10, 10]);
    await wave();
    expect([a.connections(), b.connections()]).toEqual([10, 10]);
    expect(performance.now() - before).toBeLessThan(2_000);
  });
});
