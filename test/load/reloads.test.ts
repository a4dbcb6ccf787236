import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { pool } from '../proxy/http/door.ts';
import { type FakeLlm, startFakeLlm } from '../support/fake-llm.ts';
import { type LoadCall, startLoad } from '../support/open-loop.ts';
import { type Document, type Proxies, startProxies } from './proxies.ts';

/** Edits of every kind while fifty calls are under way through two proxies: no call fails, nothing learned is lost. */
const RELOADS = 1_000;
/** Calls start so often and take so long: fifty are under way at a time, by Little's law. */
const PER_SECOND = 250;
const CALL_MS = 200;
const CONVERSATIONS = 60;
/** Of the pool `limited`, at each proxy. */
const LIMIT_PER_MINUTE = 20;
const LIMITED_EVERY = 10;

let proxies: Proxies;
let models: Record<'a' | 'b' | 'c' | 'd', FakeLlm>;

beforeAll(async () => {
  const [a, b, c, d] = await Promise.all(['a', 'b', 'c', 'd'].map((name) => startFakeLlm({ name })));
  models = { a, b, c, d } as typeof models;
  proxies = await startProxies(2);
});

afterAll(async () => {
  await proxies?.stop();
  for (const model of Object.values(models ?? {})) await model.stop();
});

const backend = (name: keyof typeof models, fields: object = {}): object => ({
  ...{ name, url: `${models[name].url}/v1`, ...fields },
});

/** Weights, a backend that comes and goes, and a Secret: its key and a plain header are of the same generation. */
function chat(n: number): Document[] {
  const id = `generation-${n}`;
  const of = { kind: 'LLMPool', namespace: 'ml', name: 'chat' };
  const headers = [
    { name: 'authorization', prefix: 'Bearer ', valueFrom: { secret: 'provider', key: 'api-key' } },
    { name: 'x-generation', value: String(n) },
  ];
  const backends = [
    backend('a', { headers, weight: 1 + (n % 5) }),
    backend('b', { headers, weight: 1 + ((n * 3) % 7) }),
    ...(n % 4 === 0 ? [backend('d', { headers, weight: 2 })] : []),
  ];
  return [
    { format: 1, kind: 'Credentials', of, id, values: { 'provider/api-key': `key-${n}` } },
    pool('chat', backends, { credentials: { id } }),
  ];
}

/** Conversations over three backends that stay and one that comes and goes. */
function talk(n: number): Document[] {
  const backends = [backend('a'), backend('b'), backend('c'), ...(n % 3 === 0 ? [backend('d')] : [])];
  return [pool('talk', backends, { affinity: { header: 'x-session-id' }, timeouts: { requestMs: 100_000 + n } })];
}

function limited(n: number): Document[] {
  const limits = { pool: { requestsPerMinute: LIMIT_PER_MINUTE } };
  return [pool('limited', [backend('c', { weight: 1 + n })], { limits })];
}

describe('1,000 reloads under fifty concurrent callers and two proxies', () => {
  test('fail no call, keep conversations where they are, and every counter', async () => {
    await proxies.publish(...chat(0));
    await proxies.publish(...talk(0));
    await proxies.publish(...limited(0));
    const seen = new Map<string, Set<string>>();
    const made = { chat: 0, talk: 0 };
    const load = startLoad({ urls: proxies.urls, perSecond: PER_SECOND, call: mixedCall(made, seen) });
    const limitedAnswers: number[] = [];
    const begin = performance.now();
    let mostInFlight = 0;
    for (let n = 1; n <= RELOADS; n += 1) {
      if (n % LIMITED_EVERY === 0) {
        await proxies.publish(...limited(n));
        limitedAnswers.push(await callLimited(n));
        mostInFlight = Math.max(mostInFlight, await inFlight());
      } else await proxies.publish(...(n % 2 === 0 ? chat(n) : talk(n)));
    }
    const minutes = (performance.now() - begin) / 60_000;
    const result = await load.stop();
    process.stdout.write(
      `${RELOADS} reloads in ${(minutes * 60).toFixed(0)} s, up to ${mostInFlight} calls in flight\n`,
    );

    expect(result.failures).toEqual({});
    expect(made.chat + made.talk).toBe(result.made);
    expect(mostInFlight).toBeGreaterThanOrEqual(40);
    expectKeysOfTheirGeneration();
    expectConversationsKept(seen);
    await expectCountersKept(made);
    // What the limit let in before a reload still counts after it: the bucket, and what flowed into it since.
    const letIn = limitedAnswers.filter((status) => status === 200).length;
    expect(letIn).toBeLessThanOrEqual(proxies.urls.length * Math.ceil(LIMIT_PER_MINUTE * (1 + minutes)));
    expect(limitedAnswers.filter((status) => status === 429)).toHaveLength(limitedAnswers.length - letIn);
  }, 120_000);
});

/** Unary calls and streams, to both pools, through both proxies. */
function mixedCall(made: { chat: number; talk: number }, seen: Map<string, Set<string>>): LoadCall {
  return async (url, agent, index) => {
    // The proxy goes by the lowest bit.
    const isStream = (index & 2) === 0;
    const model = (index & 4) === 0 ? 'chat' : 'talk';
    const session = `conversation-${(index >> 3) % CONVERSATIONS}`;
    made[model] += 1;
    const fake = isStream ? { chunks: 3, intervalMs: CALL_MS / 5 } : { delayMs: CALL_MS };
    const answer = await agent.request({
      ...{ origin: url, path: '/v1/chat/completions', method: 'POST' },
      headers: { 'content-type': 'application/json', 'x-session-id': session, 'x-fake': JSON.stringify(fake) },
      body: JSON.stringify({ model, stream: isStream, messages: [{ role: 'user', content: 'hello' }] }),
    });
    const text = await answer.body.text();
    if (answer.statusCode !== 200) throw new Error(`status ${answer.statusCode}: ${text}`);
    if (!(isStream ? text.endsWith('data: [DONE]\n\n') : text.includes('"choices"'))) throw new Error('not whole');
    if (answer.headers['x-sluice-attempts'] !== '1') throw new Error('more than one attempt');
    if (model === 'talk') {
      const backends = seen.get(session) ?? new Set();
      seen.set(session, backends.add(String(answer.headers['x-sluice-backend'])));
    }
  };
}

async function callLimited(n: number): Promise<number> {
  const url = proxies.urls[(n / LIMITED_EVERY) % proxies.urls.length];
  const answer = await fetch(`${url}/v1/chat/completions`, { method: 'POST', body: '{"model":"limited"}' });
  await answer.text();
  return answer.status;
}

async function inFlight(): Promise<number> {
  const pools = await Promise.all(proxies.proxies.flatMap((proxy) => ['chat', 'talk'].map((name) => proxy.pool(name))));
  return pools.reduce((sum, { inFlight }) => sum + inFlight, 0);
}

/** Document and credentials are swapped in one: no call has the key of one and the header of the other. */
function expectKeysOfTheirGeneration(): void {
  const calls = Object.values(models).flatMap((model) => model.calls.map(({ headers }) => headers));
  const keyed = calls.filter((headers) => headers['x-generation'] !== undefined);
  expect(keyed.length).toBeGreaterThan(1_000);
  expect(new Set(keyed.map((headers) => headers['x-generation'])).size).toBeGreaterThan(100);
  const mixed = keyed.filter((headers) => headers.authorization !== `Bearer key-${headers['x-generation']}`);
  expect(mixed).toEqual([]);
}

/** One that is not won by the newcomer stays on its endpoint; one that is comes back to it when the newcomer goes. */
function expectConversationsKept(seen: ReadonlyMap<string, ReadonlySet<string>>): void {
  expect(seen.size).toBe(CONVERSATIONS);
  const homes = [...seen.values()].map((backends) => [...backends].filter((name) => name !== 'd'));
  expect(homes.filter((names) => names.length !== 1)).toEqual([]);
  expect(new Set(homes.flat())).toEqual(new Set(['a', 'b', 'c']));
  const moved = [...seen.values()].filter((backends) => backends.has('d')).length;
  expect(moved).toBeLessThan(CONVERSATIONS / 2);
}

async function expectCountersKept(made: { chat: number; talk: number }): Promise<void> {
  for (const name of ['chat', 'talk'] as const) {
    let requests = 0;
    let attempts = 0;
    for (const proxy of proxies.proxies) {
      const seen = await proxy.pool(name);
      expect(seen).toMatchObject({ inFlight: 0, queue: { depth: 0 } });
      expect(seen.endpoints.filter((endpoint) => endpoint.inFlight !== 0)).toEqual([]);
      requests += await proxy.counter('sluice_requests_total', `pool="ml/${name}"`);
      attempts += await proxy.counter('sluice_attempts_total', `pool="ml/${name}"`);
    }
    expect([requests, attempts]).toEqual([made[name], made[name]]);
  }
}
