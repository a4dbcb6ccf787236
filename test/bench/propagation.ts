import { setTimeout } from 'node:timers/promises';
import { Agent } from 'undici';
import { type Cluster, startCluster } from '../cluster/cluster.ts';
import { pool, whenStatus } from '../operator/site.ts';
import { type FakeLlm, startFakeLlm } from '../support/fake-llm.ts';
import { FOREIGN } from '../support/foreign.ts';
import { startLoad } from '../support/open-loop.ts';
import type { Row } from './row.ts';

const POOLS = 10;
const EDITS = 200;
/** Between two edits: each is measured alone, as users make them. */
const PAUSE_MS = 50;
const ASK_MS = 1;

/**
 * From sending an edit of a CR to the API server until both proxies answer by it, with 10 pools, on an API server that
 * carries a used cluster's foreign objects, while all pools are called.
 */
export async function propagation(): Promise<Row[]> {
  const models = await Promise.all(['a', 'b'].map((name) => startFakeLlm({ name })));
  const cluster = await startCluster({ foreign: FOREIGN });
  const agent = new Agent({ connections: 8 });
  try {
    for (let n = 0; n < POOLS; n += 1) await edit(cluster, n, models[0] as FakeLlm);
    for (let n = 0; n < POOLS; n += 1) {
      await whenStatus(cluster.api, 'bench', `pool-${n}`, ({ Programmed }) => Programmed === 'Programmed');
    }
    const load = startLoad({ urls: cluster.urls, perSecond: 100, call: roundOfPools });
    const times: number[] = [];
    for (let n = 0; n < EDITS; n += 1) {
      const model = models[(Math.floor(n / POOLS) + 1) % 2] as FakeLlm;
      times.push(await timed(cluster, agent, n % POOLS, model));
      await setTimeout(PAUSE_MS);
    }
    const { made, failed } = await load.stop();
    return rows(times, made, failed, cluster);
  } finally {
    await agent.close();
    await cluster.stop();
    await Promise.all(models.map((model) => model.stop()));
  }
}

function edit({ api }: Cluster, n: number, model: FakeLlm): Promise<unknown> {
  return api.apply(pool('bench', `pool-${n}`, { backends: [{ name: model.name, url: `${model.url}/v1` }] }));
}

async function timed(cluster: Cluster, agent: Agent, n: number, model: FakeLlm): Promise<number> {
  const before = performance.now();
  await edit(cluster, n, model);
  await Promise.all(cluster.urls.map((url) => untilServed(url, agent, n, model.name)));
  return performance.now() - before;
}

async function untilServed(url: string, agent: Agent, n: number, name: string): Promise<void> {
  for (;;) {
    const { headers, body, statusCode } = await call(url, agent, n);
    await body.dump();
    if (statusCode === 200 && headers['x-sluice-backend'] === name) return;
    // Asking without a pause would take the cores from what is measured.
    await setTimeout(ASK_MS);
  }
}

function call(origin: string, agent: Agent, n: number): ReturnType<Agent['request']> {
  const body = JSON.stringify({ model: `pool-${n}`, messages: [{ role: 'user', content: 'hello' }] });
  const headers = { 'content-type': 'application/json' };
  return agent.request({ origin, path: '/v1/chat/completions', method: 'POST', headers, body });
}

async function roundOfPools(url: string, agent: Agent, index: number): Promise<void> {
  const { body, statusCode } = await call(url, agent, index % POOLS);
  await body.dump();
  if (statusCode !== 200) throw new Error(`status ${statusCode}`);
}

function rows(times: number[], made: number, failed: number, { restingMemory }: Cluster): Row[] {
  const sorted = times.sort((a, b) => a - b);
  const at = (share: number): number => sorted[Math.floor(share * sorted.length)] ?? 0;
  const megabytes = (bytes: number): number => bytes / 1024 ** 2;
  const proxy = megabytes(Math.max(...restingMemory.proxies));
  const operator = megabytes(restingMemory.operator);
  return [
    {
      what: `edit to served by both proxies, p50 of ${EDITS}`,
      ours: at(0.5),
      unit: 'ms',
      bar: '<= 20',
      holds: at(0.5) <= 20,
    },
    { what: 'the same, p99', ours: at(0.99), unit: 'ms', bar: '<= 100', holds: at(0.99) <= 100 },
    { what: `failed of ${made} calls meanwhile`, ours: failed, unit: 'calls', bar: '= 0', holds: failed === 0 },
    { what: 'resident memory of a proxy before load', ours: proxy, unit: 'MB', bar: '<= 130', holds: proxy <= 130 },
    {
      what: 'resident memory of the operator before load',
      ours: operator,
      unit: 'MB',
      bar: '<= 200',
      holds: operator <= 200,
    },
  ];
}
