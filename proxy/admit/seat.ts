import { choose } from '../balance/choose.ts';
import type { Call } from '../call.ts';
import { ProxyError } from '../errors.ts';
import type { Endpoint, EndpointState, PoolState } from '../pool.ts';
import { joinAgain, joinLane, leaveQueue, passOver, wake } from './queue.ts';

/**
 * What a request holds of a pool: one slot of the pool from its first attempt to its end, one slot of an endpoint for
 * each attempt. Each is given back exactly once, by whoever comes first: the field that holds it is emptied.
 */
export interface Seat {
  readonly state: PoolState;
  /** Whose turn in the queue it takes. */
  readonly client: string;
  /** Hash of the conversation it belongs to; undefined: none. */
  readonly conversation: number | undefined;
  /** Hash of what calls with the same beginning share; undefined: nothing. */
  readonly prefixKey: number | undefined;
  /** Endpoints that failed this request; not chosen again. */
  readonly tried: EndpointState[];
  /** How many full tiers it may pass over, for the time it has waited. */
  spills: number;
  holdsPool: boolean;
  held: EndpointState | undefined;
  /** It is the one call that tries an endpoint after its rest. */
  isProbe: boolean;
}

/** What admission reads of the world. */
export interface AdmitDeps {
  /** Monotonic, in milliseconds. */
  readonly now: () => number;
  readonly random: () => number;
  /** This proxy's part of a limit that all proxies keep together. */
  readonly shareOf: (limit: number) => number;
}

export function createSeat(
  state: PoolState,
  { client, conversation, prefixKey }: Pick<Seat, 'client' | 'conversation' | 'prefixKey'>,
): Seat {
  return {
    state,
    client,
    conversation,
    prefixKey,
    tried: [],
    spills: 0,
    holdsPool: false,
    held: undefined,
    isProbe: false,
  };
}

/** An endpoint; undefined where none is left that this request has not tried, and when the call has ended. */
export type OnSeat = (endpoint: Endpoint | undefined) => void;

/**
 * An endpoint with a slot on it, at once where one is free (`undefined`: none is left to try); else `waits`: fair over
 * clients, within `queue`, and `onSeat` or `onRefused` (queue_timeout) is called later, once.
 * @throws ProxyError queue_full.
 */
export function takeSeat(
  seat: Seat,
  call: Call,
  deps: AdmitDeps,
  onSeat: OnSeat,
  onRefused: (error: ProxyError) => void,
): Endpoint | undefined | 'waits' {
  // Whoever holds the pool's slot already came before all who wait, and may be what the first of them waits for.
  if (seat.state.queue.size === 0 || seat.holdsPool) {
    const endpoint = tryTake(seat, deps);
    if (endpoint !== 'busy') return endpoint;
  }
  waitForSeat(seat, call, deps, onSeat, onRefused);
  return 'waits';
}

/** Gives the endpoint's slot back; the pool's stays until `leave`. */
export function standUp(seat: Seat): void {
  if (seat.held === undefined) return;
  seat.held.inFlight -= 1;
  if (seat.isProbe) seat.held.isProbing = false;
  seat.isProbe = false;
  seat.held = undefined;
  wake(seat.state.queue);
}

/** The endpoint answers: others need not wait until this call, which may be a long stream, is over. */
export function endProbe(seat: Seat): void {
  if (!seat.isProbe || seat.held === undefined) return;
  seat.isProbe = false;
  seat.held.isProbing = false;
  wake(seat.state.queue);
}

/** Gives everything back. */
export function leave(seat: Seat): void {
  if (seat.holdsPool) {
    seat.holdsPool = false;
    seat.state.inFlight -= 1;
  }
  if (seat.held === undefined) wake(seat.state.queue);
  else standUp(seat);
}

function tryTake(seat: Seat, deps: AdmitDeps): Endpoint | 'busy' | undefined {
  const { state } = seat;
  const pool = state.current;
  if (pool === undefined || state.isStopped) return undefined;
  if (!seat.holdsPool && state.inFlight >= deps.shareOf(pool.maxConcurrent)) return 'busy';
  const now = deps.now();
  const choice = choose(pool, seat, now, deps);
  if (choice === 'busy') return 'busy';
  if (choice === 'none') return undefined;
  if (!seat.holdsPool) {
    seat.holdsPool = true;
    state.inFlight += 1;
  }
  const taken = choice.state;
  seat.held = taken;
  taken.inFlight += 1;
  if (taken.restUntil !== 0) {
    taken.isProbing = true;
    seat.isProbe = true;
  }
  return choice;
}

function waitForSeat(
  seat: Seat,
  call: Call,
  deps: AdmitDeps,
  onSeat: OnSeat,
  onRefused: (error: ProxyError) => void,
): void {
  const { state, client } = seat;
  const { queue } = state;
  const { maxDepth = 0, timeoutMs = 0, spillAfterMs = 0 } = state.current?.queue ?? {};
  if (queue.size >= maxDepth && !seat.holdsPool) {
    throw new ProxyError('queue_full', `The queue of pool '${state.key}' is full (${maxDepth} waiting)`, {
      retryAfterSeconds: waitSeconds(state),
    });
  }
  const done = (): void => {
    leaveQueue(queue, client, waiter);
    clearTimeout(timer);
    clearTimeout(spillTimer);
    call.undo = undefined;
  };
  const waiter = (): boolean => {
    const endpoint = tryTake(seat, deps);
    if (endpoint === 'busy') return false;
    done();
    // The slot is its own already; whoever gives slots back is not made to wait for what the call does next.
    queueMicrotask(() => onSeat(endpoint));
    return true;
  };
  const spill = (): void => {
    seat.spills += 1;
    if (waiter()) return;
    passOver(queue, client, waiter);
    if (seat.spills < tiersOf(state) - 1) spillTimer = setTimeout(spill, spillAfterMs);
  };
  let spillTimer: NodeJS.Timeout | undefined;
  const timer = timeoutMs === 0 ? undefined : setTimeout(timeout, timeoutMs);
  function timeout(): void {
    done();
    const message = `No slot of pool '${state.key}' came free within ${timeoutMs} ms`;
    onRefused(new ProxyError('queue_timeout', message, { retryAfterSeconds: waitSeconds(state) }));
  }
  call.undo = () => {
    done();
    onSeat(undefined);
  };
  if (seat.holdsPool) joinAgain(queue, waiter);
  else joinLane(queue, client, waiter);
  if (seat.spills < tiersOf(state) - 1) spillTimer = setTimeout(spill, spillAfterMs);
}

function tiersOf({ current }: PoolState): number {
  return current?.tiers.length ?? 0;
}

/** How long the queue takes to empty at the pace of late: those waiting, over those served at a time, in seconds. */
export function waitSeconds(state: PoolState): number {
  const turns = (state.queue.size + 1) / Math.max(1, state.inFlight);
  return Math.max(1, Math.ceil(turns * state.meanSeconds));
}
