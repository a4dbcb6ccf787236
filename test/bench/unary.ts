import { startPrinting } from './processes.ts';
import { poolOn, startProxyOn } from './proxy-process.ts';
import { chatRequest } from './request.ts';
import { inTurns, median, type Pair } from './rounds.ts';
import type { Row } from './row.ts';

const CONNECTIONS = 64;
const ROUNDS = 9;
const ROUND_MS = 2_000;

/** Unary calls of 1 KiB at 64 connections: throughput and CPU a call of the proxy over those of the floor. */
export async function unary(): Promise<Row[]> {
  const upstream = await startPrinting('test/bench/upstream.ts', ['1024']);
  const floor = await startPrinting('test/bench/floor.ts', [String(upstream.port)]);
  const ours = await startProxyOn([poolOn(upstream.port, 'chat')]);
  try {
    const load = { connections: CONNECTIONS, rounds: ROUNDS, roundMs: ROUND_MS, requests: [chatRequest('chat')] };
    const pairs = await inTurns({ ours, floor, ...load });
    return rowsOf(pairs, { ours: ours.residentMb(), floor: floor.residentMb() });
  } finally {
    await Promise.all([upstream.stop(), floor.stop(), ours.stop()]);
  }
}

function rowsOf(pairs: readonly Pair[], residentMb: { ours: number; floor: number }): Row[] {
  const throughput = median(pairs, ({ ours, floor }) => ours.perSecond / floor.perSecond);
  const cpu = median(pairs, ({ ours, floor }) => ours.cpuMicros / floor.cpuMicros);
  const memory = residentMb.ours / residentMb.floor;
  return [
    {
      what: `unary 1 KiB, ${CONNECTIONS} connections`,
      ours: median(pairs, ({ ours }) => ours.perSecond),
      floor: median(pairs, ({ floor }) => floor.perSecond),
      ...{ unit: 'calls/s', ratio: throughput, bar: '>= 0.88', holds: throughput >= 0.88 },
    },
    {
      what: 'CPU of the proxy a call',
      ours: median(pairs, ({ ours }) => ours.cpuMicros),
      floor: median(pairs, ({ floor }) => floor.cpuMicros),
      ...{ unit: 'us', ratio: cpu, bar: '', holds: true },
    },
    {
      what: 'resident memory after that load',
      ...residentMb,
      ...{ unit: 'MB', ratio: memory, bar: '<= 1.1', holds: memory <= 1.1 },
    },
  ];
}
