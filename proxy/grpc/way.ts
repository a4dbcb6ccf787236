import { mayRetry, noteRequest } from '../admit/retry-budget.ts';
import { createSeat, endProbe, leave, type Seat, standUp, takeSeat } from '../admit/seat.ts';
import { createCall, endCall, pause } from '../call.ts';
import type { ProxyError } from '../errors.ts';
import { count, grpcOf, observe } from '../metrics/series.ts';
import type { Endpoint, Pool, PoolState } from '../pool.ts';
import { noteEnd } from '../upstream/note-end.ts';
import { type Cause, outcomeOf } from '../upstream/outcome.ts';
import { noteResult, unavailability } from '../upstream/rest.ts';
import { restMsOf } from '../upstream/retry-after.ts';
import { type Admitted, type MessageDeps, shownName } from './admit-message.ts';
import { noteAttempt } from './call-record.ts';
import type { ClientCall } from './client-call.ts';
import { isStatus, type Status, status } from './codes.ts';
import type { Method } from './methods.ts';
import { orStatus, statusOfError } from './refusal.ts';
import type { Route, Turn } from './route.ts';
import type { UpstreamEnd } from './upstream-end.ts';

export interface WayDeps extends MessageDeps {
  readonly nowEpochMs: () => number;
}

/** Weight of the newest call in the mean that waits are computed from: the last sixteen or so decide. */
const MEAN_OF_LATE = 16;

/**
 * One upstream stream's way through the endpoints of an instance, and, where its target means any of several, of the
 * others. It holds a slot of the instance and one of the endpoint, as a request over HTTP does.
 */
export class Way implements Route {
  readonly #call: ClientCall;
  readonly #method: Method;
  readonly #deps: WayDeps;
  readonly #first: Admitted;
  readonly #another: (asked: readonly PoolState[]) => Admitted | undefined;
  /** What it waits for: a seat, a pause. */
  readonly #step = createCall();
  readonly #startedAt: number;
  #seat: Seat;
  #onTurn: (turn: Turn | Status) => void = ignore;
  /** Instances of this round. */
  #asked: PoolState[] = [];
  #endpoint: Endpoint | undefined;
  #attempts = 0;
  #attemptAt = 0;
  #lastCause: Cause | undefined;
  #hasTried = false;
  #round = 0;
  #waitsSince = 0;
  #queueMs = 0;
  #isOver = false;

  /** `another`: one more instance that may do, let in like the first. */
  constructor(
    call: ClientCall,
    method: Method,
    first: Admitted,
    another: (asked: readonly PoolState[]) => Admitted | undefined,
    deps: WayDeps,
  ) {
    this.#call = call;
    this.#method = method;
    this.#first = first;
    this.#another = another;
    this.#deps = deps;
    this.#startedAt = deps.now();
    this.#seat = this.#seatAt(first);
  }

  next(onTurn: (turn: Turn | Status) => void): void {
    this.#onTurn = onTurn;
    if (this.#attempts > 0 && !this.#mayGoOn()) onTurn(SPENT);
    else this.#take();
  }

  end(): void {
    this.#isOver = true;
    endCall(this.#step, 'client');
    leave(this.#seat);
    if (this.#attempts === 0) return;
    const { state } = this.#seat;
    const seconds = (this.#deps.now() - this.#startedAt - this.#queueMs) / 1000;
    state.meanSeconds += (seconds - state.meanSeconds) / MEAN_OF_LATE;
  }

  #seatAt({ state, client }: Admitted): Seat {
    this.#asked.push(state);
    noteRequest(state.retries, this.#deps.now());
    if (this.#round === 0) count(grpcOf(state.series).methods, this.#method.label);
    return createSeat(state, { client, conversation: undefined, prefixKey: undefined });
  }

  /** After a try that failed: gives its endpoint back, and says whether another may be asked. */
  #mayGoOn(): boolean {
    const { state, tried } = this.#seat;
    if (this.#endpoint !== undefined) tried.push(this.#endpoint.state);
    this.#endpoint = undefined;
    standUp(this.#seat);
    const { attempts = 0, budgetPercent = 0 } = state.current?.retry ?? {};
    if (this.#attempts >= attempts) return false;
    // A call that was turned away at the door has cost its upstream nothing.
    if (this.#lastCause === 'credential' || mayRetry(state.retries, budgetPercent, this.#deps.now())) return true;
    state.series.retriesRefused += 1;
    return false;
  }

  #take(): void {
    const taken = orStatus(() => takeSeat(this.#seat, this.#step, this.#deps, this.#onSeat, this.#onRefused) ?? NONE);
    if (taken === 'waits') this.#waitsSince = this.#deps.now();
    else if (taken === NONE) this.#seated(undefined);
    else if (isStatus(taken)) this.#goElsewhere(taken);
    else this.#seated(taken);
  }

  readonly #onSeat = (endpoint: Endpoint | undefined): void => {
    if (this.#isOver) return;
    this.#noteWait();
    this.#seated(endpoint);
  };

  readonly #onRefused = (error: ProxyError): void => {
    this.#noteWait();
    this.#onTurn(statusOfError(error));
  };

  #noteWait(): void {
    const ms = this.#deps.now() - this.#waitsSince;
    this.#queueMs += ms;
    this.#call.record.queueMs += ms;
    observe(this.#seat.state.series.queueWaitSeconds, ms / 1000);
  }

  #seated(endpoint: Endpoint | undefined): void {
    const pool = this.#seat.state.current;
    if (endpoint === undefined || pool === undefined) this.#noneLeft(pool);
    else this.#try(pool, endpoint);
  }

  #try(pool: Pool, endpoint: Endpoint): void {
    const { backend, basePath, state } = endpoint;
    const { sessions } = state;
    if (sessions === undefined) {
      this.#onTurn(status('UNAVAILABLE', `Instance '${shownName(pool)}' speaks gRPC no longer`));
      return;
    }
    const { record } = this.#call;
    const { requestMs, idleMs } = pool.timeouts;
    const isStream = this.#method.kind === 'stream';
    this.#endpoint = endpoint;
    this.#hasTried = true;
    this.#attempts += 1;
    this.#attemptAt = this.#deps.now();
    record.attempts += 1;
    if (record.attempts === 1) record.overheadMs = this.#attemptAt - record.messageAt - record.queueMs;
    this.#call.extraTrailers = ['x-sluice-backend', backend.name, 'x-sluice-attempts', String(record.attempts)];
    this.#onTurn({
      ...{ sessions, basePath, headers: backend.headers, ended: this.#onEnded },
      heard: isStream && this.#seat.isProbe ? this.#onHeard : undefined,
      // Of a unary call, the deadline says it all.
      firstByteMs: isStream ? requestMs : 0,
      idleMs: isStream ? idleMs : 0,
    });
  }

  /** The endpoint that is tried after its rest answers: others need not wait until this stream is over. */
  readonly #onHeard = (): void => {
    const { state, held, isProbe } = this.#seat;
    if (!isProbe || held === undefined || state.current === undefined) return;
    noteResult(state.current, held, { cause: 'ok', restMs: undefined, wasProbe: true, now: this.#deps.now() });
    endProbe(this.#seat);
  };

  readonly #onEnded = ({ cause, trailers }: UpstreamEnd): void => {
    const endpoint = this.#endpoint;
    if (endpoint === undefined) return;
    const now = this.#deps.now();
    const ms = now - this.#attemptAt;
    const outcome = outcomeOf(cause);
    this.#lastCause = cause;
    const { backend, address } = endpoint;
    noteAttempt(this.#call.record, { backend: backend.name, address, outcome, ms });
    const restMs = outcome === 'rate_limited' ? restMsOf(trailers, this.#deps.nowEpochMs()) : undefined;
    const { state, isProbe } = this.#seat;
    noteEnd(state, endpoint, { cause, restMs, wasProbe: isProbe, now }, ms);
  };

  /** No endpoint of this instance is left: another instance, else all from the beginning after a pause. */
  #noneLeft(pool: Pool | undefined): void {
    if (!this.#hasTried || pool === undefined) {
      this.#goElsewhere(nothingLeft(this.#seat.state, this.#deps.now()));
      return;
    }
    const another = this.#another(this.#asked);
    if (another !== undefined) {
      this.#sitWith(another);
      this.#take();
      return;
    }
    const pauseMs = this.#deps.random() * pool.retry.backoffMs * 2 ** this.#round;
    this.#round += 1;
    pause(this.#step, pauseMs, () => this.#startAnew());
  }

  /** To another instance; where there is none, the client is told why not to this one. */
  #goElsewhere(why: Status): void {
    const another = this.#another(this.#asked);
    if (another === undefined) {
      this.#onTurn(why);
      return;
    }
    this.#sitWith(another);
    this.#take();
  }

  #startAnew(): void {
    if (this.#isOver) return;
    this.#hasTried = false;
    if (this.#asked.length === 1) this.#seat.tried.length = 0;
    else {
      this.#asked = [];
      this.#sitWith(this.#first);
    }
    this.#take();
  }

  #sitWith(admitted: Admitted): void {
    leave(this.#seat);
    this.#seat = this.#seatAt(admitted);
  }
}

function ignore(): void {}

const NONE = 'none';
/** The client is told how the last try ended, not this. */
const SPENT = status('UNAVAILABLE', 'All attempts are spent');

/** Nothing of the instance could be tried at all. */
function nothingLeft(state: PoolState, now: number): Status {
  const pool = state.current;
  if (pool === undefined) return status('NOT_FOUND', 'The instance is gone');
  const name = shownName(pool);
  if (unavailability(state, now).kind === 'unhealthy') {
    return status('UNAVAILABLE', `No endpoint of instance '${name}' is healthy`);
  }
  return status('RESOURCE_EXHAUSTED', `Every endpoint of instance '${name}' cools down after RESOURCE_EXHAUSTED`);
}
