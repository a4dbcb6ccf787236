import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { chat, httpPost, pool } from '../proxy/http/door.ts';
import { eventually } from '../support/eventually.ts';
import { type Call, type FakeLlm, startFakeLlm } from '../support/fake-llm.ts';
import { percentile } from './added-latency.ts';
import { type Proxies, startProxies, type UnderLoad } from './proxies.ts';

const CANCEL_MS = 50;
const ROUNDS = 3;
const CALLS_A_ROUND = 40;
const LONG_MS = 20_000;
const SOON = { intervalMs: 1 };

let proxies: Proxies;
let model: FakeLlm;

beforeAll(async () => {
  model = await startFakeLlm({ name: 'a' });
  proxies = await startProxies(2);
  await proxies.publish(pool('wide', [{ name: 'a', url: `${model.url}/v1` }]));
  await proxies.publish(pool('narrow', [{ name: 'a', url: `${model.url}/v1`, maxConcurrent: 1 }]));
});

afterAll(async () => {
  await proxies?.stop();
  await model?.stop();
});

describe('a client that leaves', () => {
  test.each([
    ['before the head of the answer', { delayMs: LONG_MS }, false],
    ['in mid-stream', { chunks: 1_000, intervalMs: 5 }, true],
  ])(
    '%s cancels the model’s work within 50 ms',
    async (what, behaviour, stream) => {
      const times = await manyTimes('wide', async (proxy) => {
        const seen = model.calls.length;
        const client = await send(proxy, chat('wide', { stream }), behaviour);
        const call = await called(seen);
        if (stream) await once(client, 'data');
        const leftAtMs = performance.now();
        client.destroy();
        return (await cancelled(call)) - leftAtMs;
      });
      expectQuick(what, times);
    },
    60_000,
  );

  test('the queue is passed over, and a slot that is left is the next one’s, within 50 ms', async () => {
    const times = await manyTimes('narrow', async (proxy) => {
      const seen = model.calls.length;
      const first = await send(proxy, chat('narrow'), { delayMs: LONG_MS });
      const call = await called(seen);
      const gone = await send(proxy, chat('narrow', { is: 'gone' }), {});
      await queued(proxy, 1);
      const next = await send(proxy, chat('narrow', { is: 'next' }), { delayMs: LONG_MS });
      await queued(proxy, 2);
      const leftAtMs = performance.now();
      gone.destroy();
      first.destroy();
      const after = await called(seen + 1);
      expect(JSON.parse(after.body.toString())).toMatchObject({ is: 'next' });
      next.destroy();
      await cancelled(after);
      expect(model.calls).toHaveLength(seen + 2);
      return Math.max(after.atMs, await cancelled(call)) - leftAtMs;
    });
    expectQuick('the queue, to the call of the next one', times);
  }, 60_000);
});

/** One after the other, through both proxies in turn; afterwards no slot is taken. */
async function manyTimes(name: string, leaveOnce: (proxy: UnderLoad) => Promise<number>): Promise<number[]> {
  const times: number[] = [];
  for (let n = 0; n < ROUNDS * CALLS_A_ROUND; n += 1) {
    times.push(await leaveOnce(proxies.proxies[n % 2] as UnderLoad));
  }
  for (const proxy of proxies.proxies) {
    await eventually('no slot is taken', async () => {
      expect(await proxy.pool(name)).toMatchObject({ inFlight: 0, queue: { depth: 0 }, endpoints: [{ inFlight: 0 }] });
      return true;
    });
  }
  return times;
}

async function send({ port }: UnderLoad, body: object, behaviour: object): Promise<Socket> {
  const client = connect(port, '127.0.0.1').on('error', () => undefined);
  await once(client, 'connect');
  client.write(httpPost('/v1/chat/completions', body, `x-fake: ${JSON.stringify(behaviour)}\r\n`));
  return client;
}

function called(index: number): Promise<Call> {
  return eventually('the model is called', () => model.calls[index], SOON);
}

function cancelled(call: Call): Promise<number> {
  return eventually('the call is cancelled', () => call.cancelledAtMs, SOON);
}

async function queued(proxy: UnderLoad, depth: number): Promise<void> {
  await eventually(`${depth} wait`, async () => (await proxy.pool('narrow')).queue.depth === depth, SOON);
}

/** Of several rounds one must have no slow call: the machine may be busy with other things in the others. */
function expectQuick(what: string, times: readonly number[]): void {
  const rounds = Array.from({ length: ROUNDS }, (_, round) =>
    Math.max(...times.slice(round * CALLS_A_ROUND, (round + 1) * CALLS_A_ROUND)),
  );
  const sorted = [...times].sort((a, b) => a - b);
  const [p50, p99, max] = [0.5, 0.99, 1].map((share) => percentile(sorted, share).toFixed(1));
  process.stdout.write(
    `cancel, ${what}: p50 ${p50} ms, p99 ${p99} ms, max ${max} ms; ${times.length} calls made, 0 failed\n`,
  );
  expect(Math.min(...rounds)).toBeLessThanOrEqual(CANCEL_MS);
}
