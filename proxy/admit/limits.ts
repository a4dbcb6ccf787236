import { ProxyError } from '../errors.ts';
import type { Limits } from '../pool.ts';
import {
  type Bucket,
  createBucket,
  EXACT_MS,
  fullInMs,
  MINUTE_MS,
  resize,
  settleTaken,
  type Taken,
  take,
  waitMs,
} from './bucket.ts';

/** What one proxy has let in of late under a pool's limits: part of its PoolState, so that no reload forgets it. */
export interface LimitState {
  /** `namespace/name`, for messages. */
  readonly poolKey: string;
  readonly pool: Buckets;
  /** At most `MAX_CLIENTS`, the least recently used first. */
  readonly clients: Map<string, Buckets>;
  sweptAt: number;
}

/** Each is made on first use. */
export interface Buckets {
  requests: Bucket | undefined;
  tokens: Bucket | undefined;
}

/** One limit that a request is under. */
export interface Meter {
  readonly whose: 'pool' | 'client';
  readonly what: 'requests' | 'tokens';
  /** A minute, of all proxies together. */
  readonly limit: number;
  readonly buckets: Buckets;
}

/** Leave to call an upstream: counted as one request, with its tokens reserved until `settle` or `refund`. */
export interface Grant {
  /** Empty where no limit on tokens applies, and once settled. */
  reserved: readonly Taken[];
}

/** What limits read of the world. */
export interface LimitDeps {
  /** Monotonic, in milliseconds. */
  readonly now: () => number;
  /** This proxy's part of a limit that all proxies keep together; whole, at least 1. */
  readonly shareOf: (limit: number) => number;
}

const MAX_CLIENTS = 10_000;
/** Looking through all clients costs a tenth of a millisecond; a flood of new ones must not buy it each time. */
const SWEEP_EVERY_MS = 1000;
const BYTES_PER_TOKEN = 4;
const NOTHING: readonly Taken[] = [];

export function createLimitState(poolKey: string): LimitState {
  return { poolKey, pool: noBuckets(), clients: new Map(), sweptAt: Number.NEGATIVE_INFINITY };
}

/** Tokens to reserve: four bytes of the body each, and `max_tokens` where the request has it. */
export function estimateTokens(bodyBytes: number, maxTokens: number | undefined): number {
  const forAnswer = maxTokens !== undefined && maxTokens > 0 ? Math.ceil(maxTokens) : 0;
  return Math.ceil(bodyBytes / BYTES_PER_TOKEN) + forAnswer;
}

/**
 * Lets a request of `tokens` in under all limits, or under none: then nothing is taken, and the error
 * (rate_limit_exceeded) names the limit that takes longest and says in how many seconds all would let it in. One that
 * wants more than a limit ever holds waits for it to be full.
 */
export function admitByLimits(
  state: LimitState,
  limits: Limits,
  client: string,
  tokens: number,
  { now: clock, shareOf }: LimitDeps,
): Grant | ProxyError {
  const now = clock();
  const meters = metersOf(state, limits, client);
  let longest: Meter | undefined;
  let longestMs = 0;
  for (const meter of meters) {
    const ms = meterWaitMs(meter, tokens, now, shareOf);
    if (ms <= longestMs) continue;
    longest = meter;
    longestMs = ms;
  }
  if (longest !== undefined) return refusal(state, longest, longestMs);

  const reserved: Taken[] = [];
  for (const { what, limit, buckets } of meters) {
    buckets[what] ??= createBucket(shareOf(limit), now);
    const taken = take(buckets[what], what === 'requests' ? 1 : tokens, now);
    if (what === 'tokens') reserved.push(taken);
  }
  const ofClient = meters.at(-1);
  if (ofClient?.whose === 'client') remember(state, client, ofClient.buckets, now);
  return { reserved };
}

/**
 * The request is over: its reservation becomes what it used; where that is not known, the reservation stands. Only the
 * first of `settle` and `refund` counts, whatever became of the limits since.
 */
export function settle(grant: Grant, usedTokens: number | undefined, now: number): void {
  const { reserved } = grant;
  grant.reserved = NOTHING;
  // Also false for what is no number.
  if (usedTokens === undefined || !(usedTokens >= 0)) return;
  for (const taken of reserved) settleTaken(taken, usedTokens, now);
}

/** No upstream served it: its tokens go back, the request stays counted. */
export function refund(grant: Grant, now: number): void {
  settle(grant, 0, now);
}

/** The limits that a client's request is under, the pool's first, then the client's. It remembers no client. */
export function metersOf(state: LimitState, { pool, perClient }: Limits, client: string): Meter[] {
  const meters: Meter[] = [];
  addMeters(meters, 'pool', pool, state.pool);
  if (perClient.requestsPerMinute !== undefined || perClient.tokensPerMinute !== undefined) {
    addMeters(meters, 'client', perClient, state.clients.get(client) ?? noBuckets());
  }
  return meters;
}

function addMeters(meters: Meter[], whose: Meter['whose'], rates: Limits['pool'], buckets: Buckets): void {
  const { requestsPerMinute, tokensPerMinute } = rates;
  if (requestsPerMinute !== undefined) meters.push({ whose, what: 'requests', limit: requestsPerMinute, buckets });
  if (tokensPerMinute !== undefined) meters.push({ whose, what: 'tokens', limit: tokensPerMinute, buckets });
}

function meterWaitMs(meter: Meter, tokens: number, now: number, shareOf: LimitDeps['shareOf']): number {
  const { what, limit, buckets } = meter;
  if (limit === 0) return MINUTE_MS;
  const bucket = buckets[what];
  if (bucket === undefined) return 0;
  resize(bucket, shareOf(limit), now);
  return waitMs(bucket, what === 'requests' ? 1 : tokens, now);
}

function refusal({ poolKey }: LimitState, { whose, what, limit }: Meter, ms: number): ProxyError {
  const owner = whose === 'pool' ? "the pool's" : "this client's";
  const reached = `Rate limit reached for pool '${poolKey}': ${owner} limit is ${limit} ${what} per minute`;
  const retryAfterSeconds = Math.ceil((ms - EXACT_MS / 2) / 1000);
  const then = limit === 0 ? 'which lets nothing in' : `try again in ${retryAfterSeconds} s`;
  return new ProxyError('rate_limit_exceeded', `${reached}; ${then}`, { retryAfterSeconds });
}

function remember(state: LimitState, client: string, buckets: Buckets, now: number): void {
  const { clients } = state;
  clients.delete(client);
  if (clients.size >= MAX_CLIENTS) makeRoom(state, now);
  clients.set(client, buckets);
}

/** Clients whose buckets are full again lose nothing; where there are none, the least recently used starts anew. */
function makeRoom(state: LimitState, now: number): void {
  const { clients } = state;
  if (now >= state.sweptAt + SWEEP_EVERY_MS) {
    state.sweptAt = now;
    for (const [client, buckets] of clients) if (areFull(buckets, now)) clients.delete(client);
  }
  if (clients.size < MAX_CLIENTS) return;
  for (const client of clients.keys()) {
    clients.delete(client);
    return;
  }
}

function areFull({ requests, tokens }: Buckets, now: number): boolean {
  return (
    (requests === undefined || fullInMs(requests, now) === 0) && (tokens === undefined || fullInMs(tokens, now) === 0)
  );
}

function noBuckets(): Buckets {
  return { requests: undefined, tokens: undefined };
}
