import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { chat, httpPost, pool } from '../proxy/http/door.ts';
import { eventually } from '../support/eventually.ts';
import { type FakeLlm, startFakeLlm } from '../support/fake-llm.ts';
import { type LoadCall, startLoad } from '../support/open-loop.ts';
import type { Held } from './look-inside.ts';
import { type Proxies, startProxies, type UnderLoad } from './proxies.ts';
import { type HeldStream, holdStream } from './stream-client.ts';

/** A thousand streams at each of two proxies, held for a minute, a third of them left by their clients on the way. */
const STREAMS = 1_000;
const OPENING_MS = 4_000;
const EVENT_EVERY_MS = 2_000;
/** Besides the role, the end and `[DONE]`: 60 s from the first to the last. */
const CONTENT_EVENTS = 28;
/** After all are open, and before the first ends. */
const LEAVES_AFTER_MS = { least: OPENING_MS + 3_000, most: 55_000 };
/** Of what is resident in a proxy at rest that has served as many streams before, if only for a moment. */
const MAX_GROWTH = 1.2;
/** Of V8's heap: 1 KB a stream would be seen. */
const MAX_HEAP_GROWTH_BYTES = 1024 ** 2;
/** Connections of this test to the admin door, kept for a while: of a leak there would be hundreds. */
const OWN = 3;

let proxies: Proxies;
let model: FakeLlm;

beforeAll(async () => {
  model = await startFakeLlm({ name: 'a' });
  proxies = await startProxies(2);
  await proxies.publish(pool('chat', [{ name: 'a', url: `${model.url}/v1`, maxConcurrent: 2 * STREAMS }]));
});

afterAll(async () => {
  await proxies?.stop();
  await model?.stop();
});

describe('1,000 event streams a proxy, held for 60 s, a third of them aborted', () => {
  test('leave no slot, socket, timer or listener behind, and no memory', async () => {
    const short = { chunks: 3, intervalMs: 500 };
    await load({ perSecond: STREAMS, durationMs: 2_000, call: async (url) => expectDone(open(url, short)) });
    const before = await Promise.all(proxies.proxies.map(atRest));

    const behaviour = { chunks: CONTENT_EVENTS, intervalMs: EVENT_EVERY_MS };
    const left = { count: 0 };
    const holding = load({
      perSecond: (2 * STREAMS * 1000) / OPENING_MS,
      durationMs: OPENING_MS,
      call: async (url, _, index) => {
        const stream = open(url, behaviour);
        if (index % 3 !== 0) return expectDone(stream, CONTENT_EVENTS);
        left.count += 1;
        await leaveInTime(stream, index);
      },
    });
    await eventually('all are held at a time', async () => (await inFlight()) === 2 * STREAMS);
    const during = await Promise.all(proxies.proxies.map(({ look }) => look()));
    const { made, failures } = await holding;
    expect(failures).toEqual({});
    expect(made).toBe(2 * STREAMS);
    expect(left.count).toBeGreaterThanOrEqual(Math.floor(made / 3));

    const after = await Promise.all(proxies.proxies.map(atRest));
    print(before, during, after);
    expect(model.open()).toBe(0);
    expect(model.calls.filter(({ cancelledAtMs }) => cancelledAtMs !== undefined)).toHaveLength(left.count);
    for (const [index, { rssBytes, heapBytes, sockets, resources, warnings }] of after.entries()) {
      const was = before[index] as Held;
      expect(warnings).toEqual([]);
      expect(sockets).toBeLessThanOrEqual(was.sockets + OWN);
      for (const [kind, count] of Object.entries(resources)) {
        expect(count, kind).toBeLessThanOrEqual((was.resources[kind] ?? 0) + OWN);
      }
      expect(heapBytes).toBeLessThan(was.heapBytes + MAX_HEAP_GROWTH_BYTES);
      expect(rssBytes).toBeLessThan(was.rssBytes * MAX_GROWTH);
    }
  }, 110_000);
});

async function load(options: { perSecond: number; durationMs: number; call: LoadCall }): ReturnType<typeof doneOf> {
  return doneOf(startLoad({ urls: proxies.urls, ...options }));
}

function doneOf({ done }: ReturnType<typeof startLoad>): typeof done {
  return done;
}

function open(url: string, behaviour: object): HeldStream {
  const header = `x-fake: ${JSON.stringify(behaviour)}\r\n`;
  return holdStream(Number(new URL(url).port), httpPost('/v1/chat/completions', STREAM, header));
}

const STREAM = chat('chat', { stream: true });

async function expectDone(stream: HeldStream, content = 3): Promise<void> {
  const end = await stream.ended;
  if (end !== 'done') throw new Error(end);
  // Besides those with content: the role and the end.
  if (stream.events() !== content + 2) throw new Error(`${stream.events()} events`);
}

/** Spread over the whole time, never twice at the same place of a stream. */
async function leaveInTime(stream: HeldStream, index: number): Promise<void> {
  const { least, most } = LEAVES_AFTER_MS;
  const timer = setTimeout(stream.leave, least + ((index * 7_919) % (most - least)));
  const end = await stream.ended;
  clearTimeout(timer);
  if (end !== 'left') throw new Error(end);
}

async function inFlight(): Promise<number> {
  const pools = await Promise.all(proxies.proxies.map((proxy) => proxy.pool('chat')));
  return pools.reduce((sum, pool) => sum + pool.inFlight, 0);
}

/** What a proxy holds once nothing is under way in it and its idle connections are closed. */
async function atRest(proxy: UnderLoad): Promise<Held> {
  const idle = { inFlight: 0, queue: { depth: 0 }, endpoints: [{ inFlight: 0 }] };
  await eventually('no slot is taken', async () => {
    expect(await proxy.pool('chat')).toMatchObject(idle);
    return true;
  });
  await eventually('no connection to the model is left', () => model.connections() === 0);
  return proxy.look();
}

function print(before: Held[], during: Held[], after: Held[]): void {
  const inTurn = (read: (held: Held) => string): string =>
    [before, during, after].map((held) => held.map(read).join(' and ')).join('; ');
  const megabytes = (bytes: number): string => (bytes / 1024 ** 2).toFixed(1);
  process.stdout.write(
    'before; during; after, of the two proxies: ' +
      `resident ${inTurn(({ rssBytes }) => megabytes(rssBytes))} MB, ` +
      `heap ${inTurn(({ heapBytes }) => megabytes(heapBytes))} MB, sockets ${inTurn(({ sockets }) => `${sockets}`)}\n`,
  );
}
