import { createSeat, leave, type Seat, standUp, takeSeat, waitSeconds } from '../admit/seat.ts';
import { endWhole, limitWhole } from '../alarm.ts';
import { endCall, pause } from '../call.ts';
import { ProxyError } from '../errors.ts';
import { upstreamModel } from '../match.ts';
import { count, observe } from '../metrics/series.ts';
import type { Endpoint, Pool, PoolState } from '../pool.ts';
import { isRetried, type Outcome, passesThrough } from '../upstream/outcome.ts';
import { type AttemptResult, attempt, type StreamedBody, type UpstreamRequest } from './attempt.ts';
import type { Exchange } from './exchange.ts';
import { withSettings } from './headers.ts';
import { joinQuery } from './query.ts';
import type { Answer } from './relay.ts';
import { sendAnswer } from './respond.ts';

/** A request that has found its pool. */
export interface Forwarded {
  readonly state: PoolState;
  /** The name the client asked for, as routing understood it. */
  readonly asked: string;
  /** Path below the endpoint's base path, with its leading slash. */
  readonly path: string;
  /** The client's query, without `?`. */
  readonly query: string;
  /** Flat: what of the client's headers may go upstream. */
  readonly headers: string[];
  /** The body with this model in it; undefined for a request without one. */
  readonly bodyFor: (model: string) => Buffer | StreamedBody | undefined;
  /** Whether the body can still be sent to another endpoint. */
  readonly isRepeatable: () => boolean;
}

type Failed = Extract<AttemptResult, { kind: 'failed' }>;

/**
 * Sends the request to endpoint after endpoint until one answers, and gives back all it held, however it ends.
 * @throws ProxyError where the client is owed an answer of ours.
 */
export async function forward(exchange: Exchange, request: Forwarded, random: () => number): Promise<void> {
  const { state } = request;
  const seat = createSeat(state);
  const requestMs = state.current?.timeouts.requestMs ?? 0;
  limitWhole(exchange.alarm, requestMs, () => endCall(exchange.call, 'deadline'));
  try {
    const failed = await tryEach(exchange, request, seat, random);
    if (failed !== undefined) answerFailure(exchange, state, failed);
  } finally {
    endWhole(exchange.alarm);
    leave(seat);
    if (exchange.attempts > 0) {
      const seconds = (performance.now() - exchange.startedAt - exchange.queueMs) / 1000;
      state.meanSeconds += (seconds - state.meanSeconds) / MEAN_OF_LATE;
    }
  }
}

/** Weight of the newest call in the mean that Retry-After is computed from: the last sixteen or so decide. */
const MEAN_OF_LATE = 16;

/**
 * Undefined once the client has an answer or is gone; else the last failure with an answer to pass on, or the last of
 * all. One function with two loops, where three would read as well: each async function costs a request more than its
 * metrics do.
 */
async function tryEach(
  exchange: Exchange,
  request: Forwarded,
  seat: Seat,
  random: () => number,
): Promise<Failed | undefined> {
  let last: Failed | undefined;
  for (let round = 0; ; round += 1) {
    for (;;) {
      if (exchange.call.ended !== undefined) return refuseEnded(exchange);
      const taken = takeSeat(seat, exchange.call);
      const endpoint = taken instanceof Promise ? await queued(exchange, seat, taken) : taken;
      const pool = request.state.current;
      if (exchange.call.ended !== undefined) return refuseEnded(exchange);
      if (endpoint === undefined || pool === undefined) break;
      const before = performance.now();
      const result = await attempt(exchange, prepare(exchange, request, pool, endpoint, before));
      note(exchange, request, endpoint, result.outcome, performance.now() - before);
      if (result.kind === 'answered') return undefined;
      if (result.kind === 'ended') return refuseEnded(exchange);
      standUp(seat);
      if (last === undefined || hasAnswer(result) || !hasAnswer(last)) last = result;
      seat.tried.push(endpoint.state);
      if (isSpent(exchange, request, pool, result)) return last;
    }
    const pool = request.state.current;
    if (last === undefined) refuseUnavailable(request.state);
    if (pool === undefined || seat.tried.length === 0) return last;
    seat.tried.length = 0;
    await pause(exchange.call, random() * pool.retry.backoffMs * 2 ** round);
  }
}

async function queued(
  exchange: Exchange,
  seat: Seat,
  taken: Promise<Endpoint | undefined>,
): Promise<Endpoint | undefined> {
  const before = performance.now();
  const endpoint = await taken;
  const ms = performance.now() - before;
  exchange.queueMs += ms;
  observe(seat.state.series.queueWaitSeconds, ms / 1000);
  return endpoint;
}

function prepare(exchange: Exchange, request: Forwarded, pool: Pool, endpoint: Endpoint, now: number): UpstreamRequest {
  const { backend, basePath } = endpoint;
  exchange.attempts += 1;
  exchange.backend = backend.name;
  if (exchange.attempts === 1) exchange.overheadMs = now - exchange.bodyAt - exchange.queueMs;
  return {
    endpoint,
    method: exchange.req.method ?? 'POST',
    path: basePath + request.path + joinQuery(request.query, backend.query),
    headers: withSettings(request.headers, backend.headers),
    body: request.bodyFor(upstreamModel(pool, backend, request.asked)),
    timeouts: pool.timeouts,
  };
}

function note(
  exchange: Exchange,
  request: Forwarded,
  { backend, address }: Endpoint,
  outcome: Outcome,
  ms: number,
): void {
  exchange.trail.push({ backend: backend.name, address, outcome, ms });
  count(request.state.series.attempts, `${backend.name}|${outcome}`);
}

function isSpent(exchange: Exchange, request: Forwarded, pool: Pool, result: Failed): boolean {
  return exchange.attempts >= pool.retry.attempts || !isRetried(result.outcome) || !request.isRepeatable();
}

/** Nothing is left to try: the upstream's own answer where it means something to the client, else ours. */
function answerFailure(exchange: Exchange, state: PoolState, failed: Failed): void {
  if (hasAnswer(failed)) {
    const { status } = failed.answer;
    exchange.backend = failed.backend;
    sendAnswer(exchange, failed.answer, status === 429 || status === 503 ? waitSeconds(state) : undefined);
    return;
  }
  throw new ProxyError(
    'upstream_error',
    `No backend of pool '${exchange.pool}' could answer; the last was ${failed.message}`,
  );
}

function hasAnswer(failed: Failed): failed is Failed & { readonly answer: Answer } {
  return failed.answer !== undefined && passesThrough(failed.outcome);
}

/** @throws ProxyError for a deadline or a refused body; a client that left gets nothing. */
function refuseEnded(exchange: Exchange): undefined {
  if (exchange.refusal !== undefined) throw exchange.refusal;
  if (exchange.call.ended !== 'deadline') return undefined;
  throw new ProxyError('timeout', `Pool '${exchange.pool}' gave no answer within its timeouts.request`);
}

function refuseUnavailable(state: PoolState): never {
  throw new ProxyError('no_healthy_endpoints', `No healthy providers available in pool '${state.key}'`, {
    retryAfterSeconds: waitSeconds(state),
  });
}
