import { closedLoop } from './closed-loop.ts';
import type { Measured } from './processes.ts';

/** What one proxy did in one round. */
export interface Round {
  readonly perSecond: number;
  /** CPU of the proxy a call. */
  readonly cpuMicros: number;
  /** Socket reads of the client a call. */
  readonly reads: number;
}

/** One round of each, right after each other. */
export interface Pair {
  readonly ours: Round;
  readonly floor: Round;
}

export interface Measuring {
  readonly ours: Measured;
  readonly floor: Measured;
  readonly connections: number;
  readonly rounds: number;
  readonly roundMs: number;
  /** Sent in turn on each connection. */
  readonly requests: readonly Buffer[];
}

/** Before what counts: until V8 has compiled what is hot. */
const WARM_UP = 2;

/** Rounds of a closed loop, ours and the floor's in turn. Throws where a call failed. */
export async function inTurns(measuring: Measuring): Promise<Pair[]> {
  const { ours, floor, rounds } = measuring;
  const pairs: Pair[] = [];
  for (let round = 0; round < WARM_UP + rounds; round += 1) {
    pairs.push({ ours: await oneRound(ours, measuring), floor: await oneRound(floor, measuring) });
  }
  return pairs.slice(WARM_UP);
}

async function oneRound(proxy: Measured, { connections, roundMs, requests }: Measuring): Promise<Round> {
  const before = proxy.cpuSeconds();
  const { calls, failed, seconds, reads } = await closedLoop(proxy.port, connections, roundMs, requests);
  if (failed > 0) throw new Error(`${failed} of ${calls} calls failed`);
  const cpuMicros = ((proxy.cpuSeconds() - before) * 1e6) / calls;
  return { perSecond: calls / seconds, cpuMicros, reads: reads / calls };
}

/** Of what `read` gives for each round. */
export function median(pairs: readonly Pair[], read: (pair: Pair) => number): number {
  const sorted = pairs.map(read).sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] as number;
}
