import { type LoadCall, startLoad } from '../support/open-loop.ts';

/** Milliseconds, sorted. */
export type Times = readonly number[];

export function percentile(times: Times, share: number): number {
  return times[Math.min(times.length - 1, Math.floor(share * times.length))] ?? 0;
}

export interface Rounds {
  readonly urls: readonly string[];
  readonly perSecond: number;
  readonly roundMs: number;
  readonly rounds: number;
  /** Made in turn, one after the other, so that both meet the same moments of the machine. */
  readonly calls: Readonly<Record<'straight' | 'other', LoadCall>>;
}

export interface Added {
  /** How much longer the other call took at this percentile: of the quieter half of the rounds, the least first. */
  readonly p50: Times;
  readonly p99: Times;
  readonly made: number;
}

interface Round {
  readonly straight: Times;
  readonly other: Times;
}

/**
 * What one kind of call takes more than another, in rounds of an open loop. A machine that is busy with other things
 * spoils rounds: those count in which the straight calls had the lowest p99. Throws if a call fails.
 */
export async function addedLatency({ rounds, ...load }: Rounds): Promise<Added> {
  const done: Round[] = [];
  for (let round = 0; round < rounds; round += 1) done.push(await oneRound(load));
  const quiet = done
    .sort((a, b) => percentile(a.straight, 0.99) - percentile(b.straight, 0.99))
    .slice(0, Math.ceil(rounds / 2));
  const added = (share: number): Times =>
    sorted(quiet.map(({ straight, other }) => percentile(other, share) - percentile(straight, share)));
  const made = done.reduce((sum, { straight, other }) => sum + straight.length + other.length, 0);
  return { p50: added(0.5), p99: added(0.99), made };
}

async function oneRound({ urls, perSecond, roundMs, calls }: Omit<Rounds, 'rounds'>): Promise<Round> {
  const straight: number[] = [];
  const other: number[] = [];
  const timed: LoadCall = async (url, agent, index) => {
    // The url goes by the lowest bit.
    const isStraight = (index & 2) === 0;
    const begin = performance.now();
    await calls[isStraight ? 'straight' : 'other'](url, agent, index);
    (isStraight ? straight : other).push(performance.now() - begin);
  };
  const { failed, failures } = await startLoad({ urls, perSecond, durationMs: roundMs, call: timed }).done;
  if (failed > 0) throw new Error(`${failed} calls failed: ${JSON.stringify(failures)}`);
  return { straight: sorted(straight), other: sorted(other) };
}

function sorted(times: readonly number[]): Times {
  return [...times].sort((a, b) => a - b);
}

/** Of several rounds. */
export function median(times: Times): number {
  return percentile(times, 0.5);
}
