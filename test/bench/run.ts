import { writeFileSync } from 'node:fs';
import { latency } from './latency.ts';
import { manyPools } from './many-pools.ts';
import { propagation } from './propagation.ts';
import { table } from './row.ts';
import { sse } from './sse.ts';
import { stall } from './stall.ts';
import { unary } from './unary.ts';

/**
 * `make bench`: what is promised of speed and memory, as ratios to floors measured in the same minute.
 *   node test/bench/run.ts [unary|sse|latency|many-pools|stall|propagation …]   default: all
 */
const BENCHES = { unary, sse, latency, 'many-pools': manyPools, stall, propagation };

const asked = process.argv.slice(2);
const unknown = asked.find((name) => !Object.hasOwn(BENCHES, name));
if (unknown !== undefined) {
  process.stderr.write(`bench: there is no ${unknown}; there are ${Object.keys(BENCHES).join(', ')}\n`);
  process.exit(2);
}
const rows = [];
for (const [name, bench] of Object.entries(BENCHES)) {
  if (asked.length === 0 || asked.includes(name)) rows.push(...(await bench()));
}
process.stdout.write(`\n${table(rows)}\n`);
writeFileSync(new URL('results.json', import.meta.url), `${JSON.stringify(rows, undefined, 2)}\n`);
process.exit(rows.every(({ holds }) => holds) ? 0 : 1);
