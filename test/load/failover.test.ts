import { createServer, type Server } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { chat, pool } from '../proxy/http/door.ts';
import { type FakeLlm, startFakeLlm } from '../support/fake-llm.ts';
import type { LoadCall } from '../support/open-loop.ts';
import { freePort } from '../support/ports.ts';
import { type Added, addedLatency, median } from './added-latency.ts';
import { type Proxies, startProxies } from './proxies.ts';

const FAILOVER_MS = 5;
const FIRST_BYTE_MS = 100;
const ROUNDS = { perSecond: 100, roundMs: 2_500, rounds: 8 };

let proxies: Proxies;
let model: FakeLlm;
/** Takes calls and says nothing. */
let silent: Server;

beforeAll(async () => {
  model = await startFakeLlm({ name: 'a' });
  silent = createServer((socket) => socket.on('error', () => undefined).resume());
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  proxies = await startProxies(2);
  const good = { name: 'a', url: `${model.url}/v1` };
  const bad = (port: number): object => ({ name: 'bad', url: `http://127.0.0.1:${port}/v1` });
  // Never rested, never out of retries: every call meets the bad one first.
  const always = {
    ...{ strategy: 'Failover', ejection: { consecutiveFailures: 0 } },
    retry: { attempts: 3, backoffMs: 25, budgetPercent: 1_000 },
  };
  await proxies.publish(pool('straight', [good], always));
  await proxies.publish(pool('refused', [bad(await freePort()), good], always));
  const { port } = silent.address() as { port: number };
  const timeouts = { firstByteMs: FIRST_BYTE_MS };
  await proxies.publish(pool('silent', [bad(port), good], { ...always, timeouts }));
});

afterAll(async () => {
  await proxies?.stop();
  silent?.close();
  await model?.stop();
});

describe('a call that fails over', () => {
  test('from a refused connection takes at most 5 ms more, p99, than one that goes straight', async () => {
    const added = await compare('refused');
    print('a refused connection', added);
    expect(median(added.p50)).toBeLessThanOrEqual(FAILOVER_MS);
    expect(Math.min(...added.p99)).toBeLessThanOrEqual(FAILOVER_MS);
  }, 60_000);

  test('from an endpoint that sends no byte takes the timeout and at most 5 ms more, p99', async () => {
    const added = await compare('silent');
    print(`a first-byte timeout of ${FIRST_BYTE_MS} ms`, added);
    expect(median(added.p50)).toBeGreaterThanOrEqual(FIRST_BYTE_MS - 1);
    expect(median(added.p50)).toBeLessThanOrEqual(FIRST_BYTE_MS + FAILOVER_MS);
    expect(Math.min(...added.p99)).toBeLessThanOrEqual(FIRST_BYTE_MS + FAILOVER_MS);
  }, 60_000);
});

function compare(other: string): Promise<Added> {
  const calls = { straight: callOf('straight', 1), other: callOf(other, 2) };
  return addedLatency({ ...ROUNDS, urls: proxies.urls, calls });
}

function callOf(model: string, attempts: number): LoadCall {
  const body = JSON.stringify(chat(model));
  return async (origin, agent) => {
    const answer = await agent.request({
      ...{ origin, path: '/v1/chat/completions', method: 'POST' },
      ...{ headers: { 'content-type': 'application/json' }, body },
    });
    await answer.body.dump();
    if (answer.statusCode !== 200) throw new Error(`status ${answer.statusCode}`);
    if (answer.headers['x-sluice-attempts'] !== `${attempts}`) throw new Error('another number of attempts');
  };
}

function print(what: string, { p50, p99, made }: Added): void {
  const times = (sorted: readonly number[]): string =>
    `${median(sorted).toFixed(1)} ms (${sorted.map((ms) => ms.toFixed(1)).join(', ')})`;
  process.stdout.write(
    `failover from ${what} adds p50 ${times(p50)}, p99 ${times(p99)}; ${made} calls made, 0 failed\n`,
  );
}
