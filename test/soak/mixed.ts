import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { Held } from '../load/look-inside.ts';
import { startProxies, type UnderLoad } from '../load/proxies.ts';
import { eventually } from '../support/eventually.ts';
import { type FakeLlm, startFakeLlm } from '../support/fake-llm.ts';
import { startLoad } from '../support/open-loop.ts';
import { documentsOf } from './documents.ts';
import { mixedCall } from './traffic.ts';
import { trendOf } from './trend.ts';

/**
 * Mixed traffic against one proxy, with clients that leave at any moment, faults upstream and an edit every three
 * seconds; samples what the process holds and says whether it grows.
 *   node test/soak/mixed.ts [--minutes 60] [--per-second 60]
 * It exits 1 where the memory is not flat, a call failed that must not, or something is left when the traffic ends.
 */
const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '60' }, 'per-second': { type: 'string', default: '60' } },
});
const totalMs = Number(values.minutes) * 60_000;
const perSecond = Number(values['per-second']);

const EDIT_EVERY_MS = 3_000;
const SAMPLE_EVERY_MS = 10_000;
/** Of the time: until code is compiled, pools of memory have their size. */
const WARM_UP = 0.25;
/** Over the rest of the time, of the mean. */
const FLAT = 0.05;
/** Kept open by this script, to the admin door. */
const OWN_SOCKETS = 5;
const POOLS = ['chat', 'talk', 'narrow', 'flaky'];

interface Sample {
  readonly at: number;
  readonly rssMb: number;
  readonly heapMb: number;
  readonly sockets: number;
  readonly inFlight: number;
  readonly made: number;
}

const models = await Promise.all(['a', 'b', 'c'].map((name) => startFakeLlm({ name })));
const all = await startProxies(1);
const proxy = all.proxies[0] as UnderLoad;
await all.publish(...documentsOf(models, 0, { checked: false }));
const atStart = await proxy.look();
await all.publish(...documentsOf(models, 0));

const begin = performance.now();
const load = startLoad({ urls: all.urls, perSecond, call: mixedCall(Math.random) });
const editing = edit();
const samples = await sampled();
const result = await load.stop();
await editing;
const atEnd = await atRest();
await all.stop();
for (const model of models) await model.stop();
process.exit(verdict() ? 0 : 1);

function isRunning(): boolean {
  return performance.now() - begin < totalMs;
}

async function edit(): Promise<void> {
  for (let n = 1; isRunning(); n += 1) {
    await sleep(EDIT_EVERY_MS);
    await all.publish(...documentsOf(models, n));
  }
}

async function sampled(): Promise<Sample[]> {
  const taken: Sample[] = [];
  print('minute', 'calls', 'resident MB', 'heap MB', 'sockets', 'in flight');
  while (isRunning()) {
    await sleep(SAMPLE_EVERY_MS);
    const { rssBytes, heapBytes, sockets } = await proxy.look({ collected: false });
    const at = (performance.now() - begin) / 60_000;
    const sample = {
      at,
      rssMb: mb(rssBytes),
      heapMb: mb(heapBytes),
      sockets,
      inFlight: await inFlight(),
      made: load.made(),
    };
    taken.push(sample);
    if (taken.length % 6 === 0 || !isRunning()) {
      print(at.toFixed(1), sample.made, sample.rssMb.toFixed(1), sample.heapMb.toFixed(1), sockets, sample.inFlight);
    }
    complain();
    forget();
  }
  return taken;
}

/** What this process keeps of the calls would grow without end. */
function forget(): void {
  for (const { calls } of models) (calls as FakeLlm['calls'][number][]).length = 0;
  (proxy.log as unknown[]).length = 0;
}

/** An error line of the proxy's own log is a fault of the proxy. */
function complain(): void {
  for (const line of proxy.log) if (line['level'] === 'error') process.stdout.write(`${JSON.stringify(line)}\n`);
}

async function inFlight(): Promise<number> {
  const pools = await Promise.all(POOLS.map((name) => proxy.pool(name)));
  return pools.reduce((sum, pool) => sum + pool.inFlight + pool.queue.depth, 0);
}

async function atRest(): Promise<Held> {
  await eventually('nothing is in flight', async () => (await inFlight()) === 0);
  await eventually('no call is left at a model', () => models.every((model) => model.open() === 0));
  await all.publish(...documentsOf(models, 0, { checked: false }));
  await eventually('no connection to a model is left', () => models.every((model) => model.connections() === 0));
  return proxy.look();
}

function verdict(): boolean {
  const warm = samples.filter(({ at }) => at >= WARM_UP * Number(values.minutes));
  const minutes = (warm.at(-1)?.at ?? 0) - (warm[0]?.at ?? 0);
  const { mean, slope } = trendOf(warm.map(({ at, rssMb }) => ({ at, value: rssMb })));
  const isFlat = (slope * minutes) / mean <= FLAT;
  const said = isFlat ? 'flat' : 'NOT FLAT';
  print(
    `resident: ${mean.toFixed(1)} MB, ${(slope * 60).toFixed(2)} MB an hour over ${minutes.toFixed(1)} minutes: ${said}`,
  );
  print(
    `heap after a collection: ${mb(atStart.heapBytes).toFixed(1)} MB before, ${mb(atEnd.heapBytes).toFixed(1)} MB after`,
  );
  print(`sockets ${atStart.sockets} before, ${atEnd.sockets} after; held ${JSON.stringify(atEnd.resources)}`);
  print(`warnings: ${JSON.stringify(atEnd.warnings)}`);
  print(`${result.made} calls made, ${result.failed} failed ${JSON.stringify(result.failures)}`);
  const isClean = atEnd.sockets <= atStart.sockets + OWN_SOCKETS && atEnd.warnings.length === 0;
  return isFlat && isClean && result.failed === 0;
}

function mb(bytes: number): number {
  return bytes / 1024 ** 2;
}

function print(...cells: (string | number)[]): void {
  process.stdout.write(`${cells.join('\t')}\n`);
}
