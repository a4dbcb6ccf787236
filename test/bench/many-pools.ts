import { startPrinting } from './processes.ts';
import { poolOn, startProxyOn } from './proxy-process.ts';
import { chatRequest } from './request.ts';
import { inTurns, median } from './rounds.ts';
import type { Row } from './row.ts';

const BACKENDS = 10;
const FEW = 10;
const MANY = 2_000;
const CONNECTIONS = 64;
const RUNS = 5;
const RUN_MS = 3_000;

/**
 * CPU a call with 2,000 pools of 10 backends over that with 10 pools: the same calls, to ten pools that both have,
 * which lie all over the many.
 */
export async function manyPools(): Promise<Row[]> {
  const upstream = await startPrinting('test/bench/upstream.ts', ['1024']);
  const called = Array.from({ length: FEW }, (_, n) => `pool-${n * (MANY / FEW)}`);
  const all = Array.from({ length: MANY }, (_, n) => `pool-${n}`);
  const on = (names: readonly string[]): object[] => names.map((name) => poolOn(upstream.port, name, BACKENDS));
  const floor = await startProxyOn(on(called));
  const ours = await startProxyOn(on(all));
  try {
    const requests = called.map((name) => chatRequest(name));
    const load = { connections: CONNECTIONS, rounds: RUNS, roundMs: RUN_MS, requests };
    const pairs = await inTurns({ ours, floor, ...load });
    const ratio = median(pairs, (pair) => pair.ours.cpuMicros / pair.floor.cpuMicros);
    return [
      {
        what: `CPU a call with ${MANY} pools of ${BACKENDS} backends (floor: ${FEW} pools)`,
        ours: median(pairs, (pair) => pair.ours.cpuMicros),
        floor: median(pairs, (pair) => pair.floor.cpuMicros),
        ...{ unit: 'us', ratio, bar: '<= 1.1', holds: ratio <= 1.1 },
      },
      {
        what: 'resident memory with them',
        ...{ ours: ours.residentMb(), floor: floor.residentMb(), unit: 'MB', bar: '', holds: true },
      },
    ];
  } finally {
    await Promise.all([upstream.stop(), floor.stop(), ours.stop()]);
  }
}
