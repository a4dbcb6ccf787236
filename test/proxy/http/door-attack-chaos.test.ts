import { expect, onTestFinished, test } from 'vitest';
import type { Behaviour } from '../../support/fake-llm.ts';
import { backend, chat, fakes, httpPost, instance, openDoor, pool, rawClient } from './door.ts';
import { seriesOf } from './door-series.ts';

const MAX_HELD = 2_000_000;
const CALLS = 600;

/** The same on every machine. */
function dice(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % below;
  };
}

const FAULTS: readonly Behaviour[] = [
  {},
  { delayMs: 20 },
  { status: 500 },
  { status: 429, retryAfter: '0' },
  { status: 401 },
  { status: 400 },
  { closeBeforeHeaders: true },
  { cutAfterBytes: 5 },
  { cutAfterChunks: 1 },
  { garbage: true },
  { body: '' },
  { body: '{"error":{"message":"x"}}' },
  { firstByteDelayMs: 30 },
  { intervalMs: 5, chunks: 10 },
];

test.each([1, 2, 3])(
  'whatever comes together, nothing stays taken (%i)',
  async (seed) => {
    const faults: unknown[] = [];
    const note = (error: unknown): void => void faults.push(error);
    process.on('unhandledRejection', note).on('uncaughtException', note);
    onTestFinished(() => void process.off('unhandledRejection', note).off('uncaughtException', note));
    const random = dice(seed);
    const [a, b, tei] = await fakes('a', 'b', 'tei');
    const door = await openDoor({ maxHeldBytes: MAX_HELD });
    const rules = {
      ejection: { consecutiveFailures: 2, failureMs: 20, rateLimitedMs: 20 },
      queue: { maxDepth: 20, timeoutMs: 200, spillAfterMs: 10 },
      retry: { backoffMs: 5 },
    };
    const timeouts = (connectMs: number): object => ({ timeouts: { connectMs, firstByteMs: 100, requestMs: 400 } });
    const chatPool = (connectMs: number): Record<string, unknown> =>
      pool('chat', [backend(a, { maxConcurrent: 3 }), backend(b, { tier: random(2), maxConcurrent: 2 })], {
        ...rules,
        ...timeouts(connectMs),
        maxConcurrent: 4 + random(3),
        healthCheck: { intervalMs: 50, timeoutMs: 50 },
        affinity: { header: 'x-session-id' },
      });
    const bge = (connectMs: number): Record<string, unknown> =>
      instance(
        'bge',
        { name: 'tei', url: tei.url },
        { ...rules, timeouts: { connectMs, requestMs: 400 }, maxBatch: 2, maxConcurrent: 3 },
      );
    await door.put(chatPool(1_000), bge(1_000));

    const open: Promise<unknown>[] = [];
    for (let n = 0; n < CALLS; n += 1) {
      for (const server of [a, b, tei]) server.behave(FAULTS[random(FAULTS.length)]);
      const isBatch = random(3) === 0;
      const body = isBatch
        ? { model: 'bge', input: Array(1 + random(12)).fill('x'.repeat(random(20_000))) }
        : chat('chat', { stream: random(2) === 0, user: 'u'.repeat(random(20_000)) });
      const path = isBatch ? '/v1/embeddings' : '/v1/chat/completions';
      const session = random(2) === 0 ? `x-session-id: ${random(5)}\r\n` : '';
      const client = await rawClient(door.port);
      client.send(httpPost(path, body, `${session}connection: close\r\n`));
      open.push(client.closed);
      if (random(3) === 0) setTimeout(() => client.socket.destroy(), random(60));
      if (random(25) === 0) await door.put(chatPool(1_000 + random(3)), bge(1_000 + random(3)));
      if (random(100) === 0) {
        await door.remove(chatPool(1_000), bge(1_000));
        await door.put(chatPool(1_000), bge(1_000));
      }
      if (random(4) === 0) await new Promise((resolve) => setTimeout(resolve, random(10)));
    }
    await Promise.all(open);
    for (const server of [a, b, tei]) server.behave();
    expect(faults).toEqual([]);
    await expect.poll(async () => await door.pool()).toMatchObject({ inFlight: 0, queue: { depth: 0 } });
    expect((await door.pool()).endpoints.map(({ inFlight }) => inFlight)).toEqual([0, 0]);
    expect(await seriesOf(door, 'sluice_in_flight_requests', { pool: 'ml/bge' })).toBe(0);
    expect(await seriesOf(door, 'sluice_queue_depth', { pool: 'ml/bge' })).toBe(0);
    const most = chat('chat', { user: '' });
    const room = { ...most, user: 'u'.repeat(MAX_HELD - JSON.stringify(most).length) };
    await expect
      .poll(async () => (await door.post('/v1/chat/completions', room)).text(), { message: 'nothing is held' })
      .toContain('chat.completion');
    expect((await door.post('/v1/embeddings', { model: 'bge', input: ['a', 'b', 'c'] })).status).toBe(200);
  },
  60_000,
);
