import { startPrinting } from './processes.ts';
import { poolOn, startProxyOn } from './proxy-process.ts';
import { chatRequest } from './request.ts';
import { inTurns, median, type Pair } from './rounds.ts';
import type { Row } from './row.ts';

const EVENTS = 50;
const ROUNDS = 7;
/** More than enough to keep a core busy with bursts. */
const BURST_CONNECTIONS = 64;
/** So few that no proxy is ever late, or the system would gather the events that came meanwhile. */
const SPACED_CONNECTIONS = 24;
/** Of 50 events; the first two may go together, head and all. */
const READS_ONE_BY_ONE = 45;

/**
 * Streams of 50 events over the floor, where all come in one write, and where they come one by one. What counts is how
 * many a core of the proxy could carry: client and upstream share the machine, and events come no faster than they come.
 */
export async function sse(): Promise<Row[]> {
  const burst = await measure('burst', BURST_CONNECTIONS, 2_000);
  const spaced = await measure('spaced', SPACED_CONNECTIONS, 3_000);
  const reads = median(spaced, ({ ours, floor }) => Math.min(ours.reads, floor.reads));
  if (reads < READS_ONE_BY_ONE) throw new Error(`events did not come one by one: ${reads} reads a stream`);
  const throughput = median(burst, ({ ours, floor }) => ours.perSecond / floor.perSecond);
  return [
    rowOf(`SSE, ${EVENTS} events in one burst, ${BURST_CONNECTIONS} connections`, burst, 1.4),
    {
      what: 'the same, as fast as this machine goes',
      ours: median(burst, ({ ours }) => ours.perSecond),
      floor: median(burst, ({ floor }) => floor.perSecond),
      ...{ unit: 'streams/s', ratio: throughput, bar: '', holds: true },
    },
    rowOf(`SSE, ${EVENTS} events one by one, ${SPACED_CONNECTIONS} connections`, spaced, 0.85),
  ];
}

function rowOf(what: string, pairs: readonly Pair[], least: number): Row {
  const ratio = median(pairs, ({ ours, floor }) => floor.cpuMicros / ours.cpuMicros);
  return {
    what,
    ours: 1e6 / median(pairs, ({ ours }) => ours.cpuMicros),
    floor: 1e6 / median(pairs, ({ floor }) => floor.cpuMicros),
    ...{ unit: 'streams/CPU s', ratio, bar: `>= ${least}`, holds: ratio >= least },
  };
}

async function measure(how: 'burst' | 'spaced', connections: number, roundMs: number): Promise<Pair[]> {
  const upstream = await startPrinting('test/bench/upstream.ts', [how]);
  const floor = await startPrinting('test/bench/floor.ts', [String(upstream.port)]);
  const ours = await startProxyOn([poolOn(upstream.port, 'chat')]);
  try {
    const requests = [chatRequest('chat', { stream: true })];
    return await inTurns({ ours, floor, connections, rounds: ROUNDS, roundMs, requests });
  } finally {
    await Promise.all([upstream.stop(), floor.stop(), ours.stop()]);
  }
}
