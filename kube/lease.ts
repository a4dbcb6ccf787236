import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../program/log.ts';
import { ApiError } from './api-error.ts';
import type { KubeClient } from './client.ts';
import { createLease, type Lease, readLease, writeLease } from './lease-record.ts';

/**
 * client-go's times, but for the standby's look each second: it has to lead within 2 s of a leader that was stopped
 * and 20 s of one that was killed (CONTRACT §2.6). leaseMs > renewDeadlineMs > renewMs.
 */
export interface LeaseTimings {
  /** After this long without a change of the record anyone may take it. Whole seconds. */
  readonly leaseMs: number;
  /** A leader that could not renew for this long has lost. */
  readonly renewDeadlineMs: number;
  readonly renewMs: number;
  /** How often a standby looks, × 1 … 1.2. */
  readonly lookMs: number;
  /** One call to the API server; short, so that a half-open connection does not cost the lease. */
  readonly callMs: number;
}

const TIMINGS: LeaseTimings = {
  leaseMs: 15_000,
  renewDeadlineMs: 10_000,
  renewMs: 2_000,
  lookMs: 1_000,
  callMs: 3_000,
};

export interface ElectOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly name: string;
  /** Unique among all candidates that ever were: a pod's name and something random. */
  readonly identity: string;
  /** Called once, when this candidate leads. */
  readonly onLeading: () => void;
  /** Called once, when it no longer does though it was not stopped: end all work at once, best by exiting. */
  readonly onLost: () => void;
  readonly log: Log;
  /** Monotonic, in ms: expiry is never judged by another machine's clock. */
  readonly clock?: () => number;
  readonly random?: () => number;
  readonly timings?: Partial<LeaseTimings>;
}

export interface Election {
  readonly leading: () => boolean;
  /** Releases the lease if it is ours, so that a standby leads at its next look. Call it when all work has ended. */
  readonly stop: () => Promise<void>;
}

/** Takes part in the election of one leader by a Lease. Starts at once; after onLost it takes no further part. */
export function elect(options: ElectOptions): Election {
  const stopping = new AbortController();
  const candidate: Candidate = {
    options,
    timings: { ...TIMINGS, ...options.timings },
    clock: options.clock ?? (() => performance.now()),
    random: options.random ?? Math.random,
    signal: stopping.signal,
  };
  let leading = false;
  const takePart = async (): Promise<void> => {
    const held = await compete(candidate);
    if (!held) return;
    leading = true;
    options.onLeading();
    await hold(candidate, held);
    leading = false;
    if (!stopping.signal.aborted) options.onLost();
  };
  const part = takePart();
  return {
    leading: () => leading,
    stop: async () => {
      stopping.abort();
      await part;
      await release(candidate);
    },
  };
}

interface Candidate {
  readonly options: ElectOptions;
  readonly timings: LeaseTimings;
  readonly clock: () => number;
  readonly random: () => number;
  readonly signal: AbortSignal;
}

interface Held {
  readonly lease: Lease;
  /** When the write was sent that made or kept it ours. */
  readonly since: number;
}

/** Looks until the lease is ours; undefined when stopped before. */
async function compete(candidate: Candidate): Promise<Held | undefined> {
  const { options, timings, clock, random, signal } = candidate;
  let seen = '';
  let seenAt = 0;
  while (!signal.aborted) {
    try {
      const lease = await readLease(options, { signal, timeoutMs: timings.callMs });
      const record = JSON.stringify(lease?.spec);
      if (record !== seen) {
        seen = record;
        seenAt = clock();
      }
      if (isFree(lease, options.identity, clock() - seenAt)) return await take(candidate, lease);
    } catch (error) {
      if (signal.aborted) return undefined;
      complain(candidate, error, 'the lease was not taken');
    }
    await sleep(timings.lookMs * (1 + 0.2 * random()), undefined, { signal }).catch(() => undefined);
  }
  return undefined;
}

/** Unheld, ours already (an earlier write whose answer was lost), or unchanged for as long as its holder asked for. */
function isFree(lease: Lease | undefined, identity: string, unchangedMs: number): boolean {
  const { holderIdentity, leaseDurationSeconds = 1 } = lease?.spec ?? {};
  return !holderIdentity || holderIdentity === identity || unchangedMs >= leaseDurationSeconds * 1000;
}

async function take({ options, timings, clock, signal }: Candidate, lease: Lease | undefined): Promise<Held> {
  const since = clock();
  const call = { signal, timeoutMs: timings.callMs };
  const leaseSeconds = Math.ceil(timings.leaseMs / 1000);
  // Both are refused with 409 when somebody was faster: by the name, or by the resourceVersion.
  if (!lease) return { lease: await createLease(options, leaseSeconds, call), since };
  const holder = { holderIdentity: options.identity, leaseDurationSeconds: leaseSeconds, taken: true };
  return { lease: await writeLease(options, lease, holder, call), since };
}

/** Renews until stopped or lost. */
async function hold(candidate: Candidate, first: Held): Promise<void> {
  const { timings, clock, signal } = candidate;
  let held = first;
  let until = held.since + timings.renewDeadlineMs;
  while (!signal.aborted) {
    await sleep(Math.min(timings.renewMs, until - clock()), undefined, { signal }).catch(() => undefined);
    const leftMs = until - clock();
    if (signal.aborted || leftMs <= 0) return;
    try {
      const renewed = await renew(candidate, held, Math.min(timings.callMs, leftMs));
      if (!renewed) return;
      held = renewed;
      until = held.since + timings.renewDeadlineMs;
    } catch (error) {
      if (!signal.aborted) complain(candidate, error, 'the lease was not renewed');
    }
  }
}

/** Writes the lease again; undefined when another candidate holds it. */
async function renew(candidate: Candidate, { lease }: Held, timeoutMs: number): Promise<Held | undefined> {
  const { options, clock, signal, timings } = candidate;
  const holder = { holderIdentity: options.identity, leaseDurationSeconds: Math.ceil(timings.leaseMs / 1000) };
  const since = clock();
  try {
    return { lease: await writeLease(options, lease, holder, { signal, timeoutMs }), since };
  } catch (error) {
    if (!(error instanceof ApiError) || (error.status !== 409 && error.status !== 404)) throw error;
    // Changed since: by another candidate, or by a write of ours whose answer was lost.
    const now = await readLease(options, { signal, timeoutMs });
    if (now?.spec.holderIdentity !== options.identity) return undefined;
    return { lease: await writeLease(options, now, holder, { signal, timeoutMs }), since };
  }
}

async function release({ options, timings }: Candidate): Promise<void> {
  const call = { timeoutMs: timings.callMs };
  try {
    const lease = await readLease(options, call);
    if (lease?.spec.holderIdentity !== options.identity) return;
    await writeLease(options, lease, { holderIdentity: '', leaseDurationSeconds: 1 }, call);
  } catch (error) {
    options.log.warn(
      { err: error, lease: options.name },
      'the lease was not released; a standby waits until it expires',
    );
  }
}

function complain({ options }: Candidate, error: unknown, message: string): void {
  // 409 is a lost race, not a fault.
  const level = error instanceof ApiError && error.status === 409 ? 'debug' : 'warn';
  options.log[level]({ err: error, lease: `${options.namespace}/${options.name}` }, message);
}
