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

/** Streams of 50 events over the floor: where all come in one write, and where they come one by one. */
export async function sse(): Promise<Row[]> {
  const burst = await measure('burst', BURST_CONNECTIONS, 2_000);
  const spaced = await measure('spaced', SPACED_CONNECTIONS, 3_000);
  const reads = median(spaced, ({ ours, floor }) => Math.min(ours.reads, floor.reads));
  if (reads < READS_ONE_BY_ONE) throw new Error(`events did not come one by one: ${reads} reads a stream`);
  const inBurst = median(burst, ({ ours, floor }) => ours.perSecond / floor.perSecond);
  // They come no faster than they come: what counts is how many streams a core could carry.
  const oneByOne = median(spaced, ({ ours, floor }) => floor.cpuMicros / ours.cpuMicros);
  return [
    {
      what: `SSE, ${EVENTS} events in one burst, ${BURST_CONNECTIONS} connections`,
      ours: median(burst, ({ ours }) => ours.perSecond),
      floor: median(burst, ({ floor }) => floor.perSecond),
      ...{ unit: 'streams/s', ratio: inBurst, bar: '>= 1.4', holds: inBurst >= 1.4 },
    },
    {
      what: `SSE, ${EVENTS} events one by one, ${SPACED_CONNECTIONS} connections`,
      ours: 1e6 / median(spaced, ({ ours }) => ours.cpuMicros),
      floor: 1e6 / median(spaced, ({ floor }) => floor.cpuMicros),
      ...{ unit: 'streams a CPU second', ratio: oneByOne, bar: '>= 0.85', holds: oneByOne >= 0.85 },
    },
  ];
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
