import { mayRetry, noteRequest } from '../admit/retry-budget.ts';
import {
  type AdmitDeps,
  createSeat,
  endProbe,
  leave,
  type Seat,
  standUp,
  takeSeat,
  waitSeconds,
} from '../admit/seat.ts';
import { endWhole, limitWhole } from '../alarm.ts';
import { hasMoved } from '../balance/conversations.ts';
import { endCall, pause } from '../call.ts';
import { ProxyError } from '../errors.ts';
import { upstreamModel } from '../match.ts';
import { observe } from '../metrics/series.ts';
import type { Endpoint, Pool, PoolState } from '../pool.ts';
import type { StreamedBody } from '../upstream/http1/connection.ts';
import { noteEnd } from '../upstream/note-end.ts';
import { isRetried, outcomeOf, passesThrough } from '../upstream/outcome.ts';
import { noteResult, unavailability } from '../upstream/rest.ts';
import { restMsOf } from '../upstream/retry-after.ts';
import { type Answer, type AttemptResult, attempt, type Failed, type Sink, type UpstreamRequest } from './attempt.ts';
import type { Exchange } from './exchange.ts';
import { withSettings } from './headers.ts';
import { joinQuery } from './query.ts';

/** A request that has found its pool: all but what its head says. */
export interface Sent {
  readonly state: PoolState;
  /** The name the client asked for, as routing understood it. */
  readonly asked: string;
  /** Path below the endpoint's base path, with its leading slash. */
  readonly path: string;
  /** The client's query, without `?`. */
  readonly query: string;
  /** The query with this model in it, where it is the query that names it. */
  readonly queryFor?: ((model: string) => string) | undefined;
  /** The body with this model in it; undefined for a request without one. */
  readonly bodyFor: (model: string) => Buffer | StreamedBody | undefined;
  /** Whether the body can still be sent to another endpoint. */
  readonly isRepeatable: () => boolean;
  /** Hash of the conversation it belongs to; undefined: none. */
  readonly conversation: number | undefined;
  /** Hash of what calls with the same beginning share; undefined: nothing. */
  readonly prefixKey: number | undefined;
}

/** A request that can be sent. */
export interface Forwarded {
  readonly sent: Sent;
  /** Flat: what of the client's headers may go upstream. */
  readonly headers: string[];
  /** Whether a 200 that is no JSON, or holds an error, is nonsense. */
  readonly expectsJson: boolean;
}

/** What forwarding reads of the world. */
export interface ForwardDeps extends AdmitDeps {
  readonly nowEpochMs: () => number;
}

/**
 * Sends a request to endpoint after endpoint until one answers into `sink`, and gives back all it held, however it
 * ends. `done` is called once: with the error where the client is owed an answer of ours, without where it has its
 * answer or is gone.
 */
export function forward(
  exchange: Exchange,
  request: Forwarded,
  sink: Sink,
  deps: ForwardDeps,
  done: (error?: unknown) => void,
): void {
  new Forwarding(exchange, request, sink, deps, done).start();
}

/** Weight of the newest call in the mean that Retry-After is computed from: the last sixteen or so decide. */
const MEAN_OF_LATE = 16;

/**
 * One request's way through its attempts: seat, attempt, and again while another endpoint may do better. Callbacks,
 * not promises: each await costs a request more than its metrics do.
 */
class Forwarding {
  readonly #exchange: Exchange;
  readonly #request: Forwarded;
  readonly #sent: Sent;
  readonly #sink: Sink;
  readonly #deps: ForwardDeps;
  readonly #done: (error?: unknown) => void;
  readonly #seat: Seat;
  #isOver = false;
  #round = 0;
  #waitsSince = 0;
  #attemptAt = 0;
  #endpoint: Endpoint | undefined;
  /** The last failure with an answer to pass on, or the last of all. */
  #last: Failed | undefined;

  constructor(exchange: Exchange, request: Forwarded, sink: Sink, deps: ForwardDeps, done: (error?: unknown) => void) {
    this.#exchange = exchange;
    this.#request = request;
    this.#sent = request.sent;
    this.#sink = sink;
    this.#deps = deps;
    this.#done = done;
    const { state, conversation, prefixKey } = request.sent;
    this.#seat = createSeat(state, { client: exchange.client, conversation, prefixKey });
  }

  start(): void {
    const { state } = this.#sent;
    const { alarm, call } = this.#exchange;
    noteRequest(state.retries, this.#deps.now());
    limitWhole(alarm, state.current?.timeouts.requestMs ?? 0, () => endCall(call, 'deadline'));
    this.#next();
  }

  #next(): void {
    const { call } = this.#exchange;
    if (call.ended !== undefined) {
      this.#refuseEnded();
      return;
    }
    try {
      const taken = takeSeat(this.#seat, call, this.#deps, this.#onSeat, this.#onRefused);
      if (taken === 'waits') this.#waitsSince = this.#deps.now();
      else this.#seated(taken);
    } catch (error) {
      this.#end(error);
    }
  }

  readonly #onSeat = (endpoint: Endpoint | undefined): void => {
    this.#noteWait();
    try {
      this.#seated(endpoint);
    } catch (error) {
      this.#end(error);
    }
  };

  readonly #onRefused = (error: ProxyError): void => {
    this.#noteWait();
    this.#end(error);
  };

  #noteWait(): void {
    const ms = this.#deps.now() - this.#waitsSince;
    this.#exchange.queueMs += ms;
    observe(this.#sent.state.series.queueWaitSeconds, ms / 1000);
  }

  #seated(endpoint: Endpoint | undefined): void {
    const pool = this.#sent.state.current;
    if (this.#exchange.call.ended !== undefined) this.#refuseEnded();
    else if (endpoint === undefined || pool === undefined) this.#noneLeft(pool);
    else this.#try(pool, endpoint);
  }

  #try(pool: Pool, endpoint: Endpoint): void {
    const now = this.#deps.now();
    const { conversation } = this.#sent;
    if (conversation !== undefined) {
      this.#exchange.hasMoved = hasMoved(this.#sent.state.conversations, pool, conversation, endpoint);
    }
    this.#endpoint = endpoint;
    this.#attemptAt = now;
    const sink = this.#seat.isProbe ? this.#probing(pool, endpoint) : this.#sink;
    attempt(this.#exchange, this.#prepare(pool, endpoint, now), sink, this.#onResult);
  }

  /** With the first byte that a client is given the endpoint has shown that it serves. */
  #probing(pool: Pool, { state }: Endpoint): Sink {
    const sink = this.#sink;
    return {
      begin: (flow, status, headers) => {
        noteResult(pool, state, { cause: 'ok', restMs: undefined, wasProbe: true, now: this.#deps.now() });
        endProbe(this.#seat);
        sink.begin(flow, status, headers);
      },
      data: (chunk) => sink.data(chunk),
      end: () => sink.end(),
      cut: () => sink.cut(),
      pass: (answer, retryAfterSeconds) => sink.pass(answer, retryAfterSeconds),
    };
  }

  #prepare(pool: Pool, endpoint: Endpoint, now: number): UpstreamRequest {
    const { backend, basePath } = endpoint;
    const exchange = this.#exchange;
    const sent = this.#sent;
    const { headers, expectsJson } = this.#request;
    exchange.attempts += 1;
    exchange.backend = backend.name;
    if (exchange.attempts === 1) exchange.overheadMs = now - exchange.bodyAt - exchange.queueMs;
    const model = upstreamModel(pool, backend, sent.asked);
    const query = sent.queryFor?.(model) ?? sent.query;
    return {
      endpoint,
      method: exchange.req.method ?? 'POST',
      path: basePath + sent.path + joinQuery(query, backend.query),
      headers: withSettings(headers, backend.headers),
      body: sent.bodyFor(model),
      timeouts: pool.timeouts,
      expectsJson,
    };
  }

  readonly #onResult = (result: AttemptResult): void => {
    try {
      this.#note(result);
      if (result.kind === 'answered') this.#end();
      else if (result.kind === 'ended') this.#refuseEnded();
      else this.#failed(result);
    } catch (error) {
      this.#end(error);
    }
  };

  #note(result: AttemptResult): void {
    const endpoint = this.#endpoint;
    if (endpoint === undefined) return;
    const now = this.#deps.now();
    const ms = now - this.#attemptAt;
    const { cause } = result;
    const outcome = outcomeOf(cause);
    const { backend, address } = endpoint;
    this.#exchange.trail.push({ backend: backend.name, address, outcome, ms });
    const answer = result.kind === 'failed' ? result.answer : undefined;
    const restMs = outcome === 'rate_limited' && answer !== undefined ? this.#askedRest(answer) : undefined;
    noteEnd(this.#sent.state, endpoint, { cause, restMs, wasProbe: this.#seat.isProbe, now }, ms);
  }

  #askedRest({ headers }: Answer): number | undefined {
    return restMsOf(headers, this.#deps.nowEpochMs());
  }

  #failed(failed: Failed): void {
    const { state, isRepeatable } = this.#sent;
    const pool = state.current;
    if (this.#last === undefined || hasAnswer(failed) || !hasAnswer(this.#last)) this.#last = failed;
    if (this.#endpoint !== undefined) this.#seat.tried.push(this.#endpoint.state);
    standUp(this.#seat);
    const { attempts = 0, budgetPercent = 0 } = pool?.retry ?? {};
    if (this.#exchange.attempts >= attempts || !isRetried(failed.cause) || !isRepeatable()) this.#answerFailure(failed);
    // A call that was turned away at the door has cost its upstream nothing.
    else if (failed.cause === 'credential' || mayRetry(state.retries, budgetPercent, this.#deps.now())) this.#next();
    else {
      state.series.retriesRefused += 1;
      this.#answerFailure(failed);
    }
  }

  /** Every endpoint has been tried or cannot be had: from the beginning, after a pause, while attempts are left. */
  #noneLeft(pool: Pool | undefined): void {
    const { tried } = this.#seat;
    if (this.#last === undefined) {
      this.#end(refusalOf(this.#sent.state, this.#deps.now()));
    } else if (pool === undefined || tried.length === 0) {
      this.#answerFailure(this.#last);
    } else {
      tried.length = 0;
      const pauseMs = this.#deps.random() * pool.retry.backoffMs * 2 ** this.#round;
      this.#round += 1;
      pause(this.#exchange.call, pauseMs, () => this.#next());
    }
  }

  /** Nothing is left to try: the upstream's own answer where it means something to the client, else ours. */
  #answerFailure(failed: Failed): void {
    const last = this.#last ?? failed;
    if (!hasAnswer(last)) {
      const message = `No backend of pool '${this.#exchange.pool}' could answer; the last was ${last.message}`;
      this.#end(new ProxyError('upstream_error', message));
      return;
    }
    const { status } = last.answer;
    const { state } = this.#sent;
    this.#exchange.backend = last.backend;
    const isLater = status === 429 || status === 503;
    this.#sink.pass(last.answer, isLater ? retrySeconds(state, this.#deps.now()) : undefined);
    this.#end();
  }

  /** A client that left gets nothing. */
  #refuseEnded(): void {
    const { refusal, call, pool } = this.#exchange;
    if (refusal !== undefined || call.ended !== 'deadline') this.#end(refusal);
    else this.#end(new ProxyError('timeout', `Pool '${pool}' gave no answer within its timeouts.request`));
  }

  #end(error?: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const { alarm, attempts, startedAt, queueMs } = this.#exchange;
    const { state } = this.#sent;
    endWhole(alarm);
    leave(this.#seat);
    if (attempts > 0) {
      const seconds = (this.#deps.now() - startedAt - queueMs) / 1000;
      state.meanSeconds += (seconds - state.meanSeconds) / MEAN_OF_LATE;
    }
    this.#done(error);
  }
}

function hasAnswer(failed: Failed): failed is Failed & { readonly answer: Answer } {
  return failed.answer !== undefined && passesThrough(failed.cause);
}

/** Nothing of the pool could be tried at all. */
function refusalOf(state: PoolState, now: number): ProxyError {
  const { kind, retryAfterSeconds } = unavailability(state, now);
  if (kind === 'cooling') {
    const message = `Every endpoint of pool '${state.key}' cools down after a 429`;
    return new ProxyError('rate_limit_exceeded', message, { retryAfterSeconds });
  }
  const message = `No healthy providers available in pool '${state.key}'`;
  return new ProxyError('no_healthy_endpoints', message, { retryAfterSeconds });
}

/** For an upstream's 429 or 503 without a time of its own: until an endpoint is back, else what the queue takes. */
function retrySeconds(state: PoolState, now: number): number {
  const { retryAfterSeconds } = unavailability(state, now);
  return Math.max(retryAfterSeconds, waitSeconds(state));
}
