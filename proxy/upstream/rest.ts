import type { Endpoint, EndpointState, Pool, PoolState } from '../pool.ts';
import { type Cause, verdictOf } from './outcome.ts';

/**
 * When an endpoint is left alone, and when it is tried again: after failures in a row, each rest twice as long as the
 * one before, and after a 429. A rest that has run out lets one call through, the probe; what becomes of it decides.
 * All times are monotonic, in milliseconds.
 */

export interface AttemptEnd {
  readonly cause: Cause;
  /** What the upstream asked for with its 429; undefined: nothing. */
  readonly restMs: number | undefined;
  /** It was the one call that tries an endpoint after its rest. */
  readonly wasProbe: boolean;
  readonly now: number;
}

/** Tells an endpoint's state how an attempt at it ended. Returns how long it rests, where a rest began or grew. */
export function noteResult(pool: Pool, endpoint: EndpointState, end: AttemptEnd): number | undefined {
  const verdict = verdictOf(end.cause);
  if (verdict === 'failure') return noteFailure(pool, endpoint, end);
  if (verdict === 'limit') return noteLimit(pool, endpoint, end);
  if (verdict === 'alive') noteAlive(endpoint, end);
  return undefined;
}

/** The rest is over, and the endpoint serves like any other. */
export function endRest(endpoint: EndpointState): void {
  endpoint.restUntil = 0;
  endpoint.failures = 0;
}

/** Sent before the rest began: it says nothing of what is now. */
function isStale({ restUntil }: EndpointState, { wasProbe, now }: AttemptEnd): boolean {
  return restUntil !== 0 && (!wasProbe || restUntil > now);
}

function noteAlive(endpoint: EndpointState, end: AttemptEnd): void {
  endpoint.failures = 0;
  if (isStale(endpoint, end)) return;
  endpoint.ejections = 0;
  endRest(endpoint);
}

/** Beyond this every rest is as long as it may be, and the power still a number. */
const MOST_DOUBLINGS = 30;

function noteFailure(pool: Pool, endpoint: EndpointState, end: AttemptEnd): number | undefined {
  if (isStale(endpoint, end)) return undefined;
  const { wasProbe, now } = end;
  const { consecutiveFailures, failureMs, maxCooldownMs } = pool.ejection;
  endpoint.failures += 1;
  if (!wasProbe && (consecutiveFailures === 0 || endpoint.failures < consecutiveFailures)) return undefined;
  if (consecutiveFailures === 0 || isLast(pool, endpoint)) {
    endpoint.restUntil = 0;
    return undefined;
  }
  const ms = Math.min(failureMs * 2 ** Math.min(endpoint.ejections, MOST_DOUBLINGS), maxCooldownMs);
  endpoint.ejections += 1;
  endpoint.restUntil = now + ms;
  endpoint.restReason = 'failures';
  return ms;
}

function noteLimit(pool: Pool, endpoint: EndpointState, { restMs, wasProbe, now }: AttemptEnd): number | undefined {
  endpoint.failures = 0;
  if (pool.kind === 'EmbeddingInstance' && isLast(pool, endpoint)) {
    if (wasProbe) endRest(endpoint);
    return undefined;
  }
  const isResting = endpoint.restUntil > now;
  const { rateLimitedMs, maxCooldownMs } = pool.ejection;
  const ms = Math.min(restMs ?? rateLimitedMs, maxCooldownMs);
  if (isResting && (restMs === undefined || now + ms <= endpoint.restUntil)) return undefined;
  endpoint.restUntil = now + ms;
  endpoint.restReason = 'rate_limited';
  keepOne(pool, now);
  return ms;
}

/** No other endpoint of the pool serves. */
function isLast({ tiers }: Pool, own: EndpointState): boolean {
  return tiers.every(({ endpoints }) => endpoints.every(({ state }) => state === own || !serves(state)));
}

function serves({ isHealthy, restUntil }: EndpointState): boolean {
  return isHealthy && restUntil === 0;
}

/**
 * The last endpoint of a pool is not rested for failures, and may have become the last only while it rests: the others
 * went, cool down or are unhealthy. Then the rest that would be over first is over now, and a probe decides.
 */
export function keepOne({ tiers }: Pool, now: number): void {
  let next: EndpointState | undefined;
  for (const { endpoints } of tiers) {
    for (const { state } of endpoints) {
      if (!state.isHealthy) continue;
      if (state.restUntil <= now) return;
      if (state.restReason === 'failures' && state.restUntil < (next?.restUntil ?? Number.POSITIVE_INFINITY))
        next = state;
    }
  }
  if (next !== undefined) next.restUntil = now;
}

export interface Unavailability {
  /** `cooling`: all that could serve rest after a 429. */
  readonly kind: 'cooling' | 'unhealthy';
  /** For Retry-After: until the first of them may be back; whole, at least 1. */
  readonly retryAfterSeconds: number;
}

/** Why a pool has no endpoint to give, and when that may change. */
export function unavailability({ current: pool }: PoolState, now: number): Unavailability {
  const endpoints = pool?.tiers.flatMap((tier) => tier.endpoints) ?? [];
  if (pool === undefined || endpoints.length === 0) return { kind: 'unhealthy', retryAfterSeconds: guess(pool, now) };
  const soonest = Math.min(...endpoints.map(({ state }) => backInMs(pool, state, now)));
  const healthy = endpoints.filter(({ state }) => state.isHealthy);
  const isCooling = ({ state }: Endpoint): boolean => state.restReason === 'rate_limited' && state.restUntil > now;
  const kind = healthy.length > 0 && healthy.every(isCooling) ? 'cooling' : 'unhealthy';
  return { kind, retryAfterSeconds: Math.max(1, Math.ceil(soonest / 1000)) };
}

/** The end of its rest, or the check that may call it healthy again; a passing one ends a rest for failures. */
function backInMs({ healthCheck }: Pool, state: EndpointState, now: number): number {
  const restMs = Math.max(0, state.restUntil - now);
  if (state.isHealthy || healthCheck === undefined) return restMs;
  const { healthyThreshold, intervalMs } = healthCheck;
  const more = Math.max(0, healthyThreshold - 1 - state.contraryChecks);
  const checkMs = Math.max(0, state.nextCheckAt - now) + more * intervalMs;
  return state.restReason === 'failures' ? checkMs : Math.max(restMs, checkMs);
}

/** When a Pool was first found without an endpoint: it is one thing from then on, as a new endpoint makes a new Pool. */
const emptySince = new WeakMap<Pool, number>();
const LONGEST_GUESS_SECONDS = 60;

/** Nothing says when there will be an endpoint: as long again as there has been none. */
function guess(pool: Pool | undefined, now: number): number {
  if (pool === undefined) return 1;
  const since = emptySince.get(pool) ?? now;
  emptySince.set(pool, since);
  return Math.max(1, Math.min(LONGEST_GUESS_SECONDS, Math.ceil((now - since) / 1000)));
}

export interface EndpointCondition {
  readonly state: 'ready' | 'cooling' | 'ejected' | 'unhealthy';
  /** In words; empty for one that simply serves. */
  readonly reason: string;
  readonly cooldownSeconds: number;
}

/** How an endpoint is, for `/pools` and metrics. */
export function stateOf(state: EndpointState, now: number): EndpointCondition {
  const cooldownSeconds = Math.max(0, Math.ceil((state.restUntil - now) / 1000));
  if (!state.isHealthy) return { state: 'unhealthy', reason: 'failed its health checks', cooldownSeconds };
  if (cooldownSeconds === 0)
    return { state: 'ready', reason: state.restUntil === 0 ? '' : 'the next call tries it', cooldownSeconds };
  if (state.restReason === 'failures')
    return { state: 'ejected', reason: 'failed several calls in a row', cooldownSeconds };
  return { state: 'cooling', reason: 'answered 429 or 529', cooldownSeconds };
}
