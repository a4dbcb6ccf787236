import { choose } from '../balance/choose.ts';
import type { Call } from '../call.ts';
import { ProxyError } from '../errors.ts';
import type { Endpoint, EndpointState, PoolState, Waiter } from '../pool.ts';

/**
 * What a request holds of a pool: one slot of the pool from its first attempt to its end, one slot of an endpoint for
 * each attempt. Each is given back exactly once, by whoever comes first: the field that holds it is emptied.
 */
export interface Seat {
  readonly state: PoolState;
  /** Endpoints that failed this request; not chosen again. */
  readonly tried: EndpointState[];
  holdsPool: boolean;
  held: EndpointState | undefined;
}

export function createSeat(state: PoolState): Seat {
  return { state, tried: [], holdsPool: false, held: undefined };
}

/**
 * An endpoint with a slot on it, at once where one is free; else first come, first served within `queue`. Undefined
 * where no endpoint is left that this request has not tried.
 * @throws ProxyError queue_full or queue_timeout; and resolves undefined when the call ends meanwhile.
 */
export function takeSeat(seat: Seat, call: Call): Endpoint | undefined | Promise<Endpoint | undefined> {
  // Whoever holds the pool's slot already came before all who wait, and may be what the first of them waits for.
  if (seat.state.waiters.size === 0 || seat.holdsPool) {
    const endpoint = tryTake(seat);
    if (endpoint !== 'busy') return endpoint;
  }
  return waitForSeat(seat, call);
}

/** Gives the endpoint's slot back; the pool's stays until `leave`. */
export function standUp(seat: Seat): void {
  if (seat.held === undefined) return;
  seat.held.inFlight -= 1;
  seat.held = undefined;
  wakeWaiters(seat.state);
}

/** Gives everything back. */
export function leave(seat: Seat): void {
  if (seat.holdsPool) {
    seat.holdsPool = false;
    seat.state.inFlight -= 1;
  }
  if (seat.held !== undefined) {
    seat.held.inFlight -= 1;
    seat.held = undefined;
  }
  wakeWaiters(seat.state);
}

/** Lets those at the head of the queue look again: after a slot came free, and after a reload. */
export function wakeWaiters(state: PoolState): void {
  for (const waiter of state.waiters) {
    if (!waiter.wake()) return;
  }
}

function tryTake(seat: Seat): Endpoint | 'busy' | undefined {
  const { state } = seat;
  const pool = state.current;
  if (pool === undefined) return undefined;
  if (!seat.holdsPool && state.inFlight >= pool.maxConcurrent) return 'busy';
  const choice = choose(pool, seat.tried);
  if (choice === 'busy') return 'busy';
  if (choice === 'none') return undefined;
  if (!seat.holdsPool) {
    seat.holdsPool = true;
    state.inFlight += 1;
  }
  seat.held = choice.state;
  choice.state.inFlight += 1;
  return choice;
}

function waitForSeat(seat: Seat, call: Call): Promise<Endpoint | undefined> {
  const { state } = seat;
  const queue = state.current?.queue ?? { maxDepth: 0, timeoutMs: 0 };
  if (state.waiters.size >= queue.maxDepth && !seat.holdsPool) {
    throw new ProxyError('queue_full', `The queue of pool '${state.key}' is full (${queue.maxDepth} waiting)`, {
      retryAfterSeconds: waitSeconds(state),
    });
  }
  return new Promise((resolve, reject) => {
    const done = (): void => {
      state.waiters.delete(waiter);
      clearTimeout(timer);
      call.undo = undefined;
    };
    const waiter = {
      wake: (): boolean => {
        const endpoint = tryTake(seat);
        if (endpoint === 'busy') return false;
        done();
        resolve(endpoint);
        return true;
      },
    };
    const timeout = (): void => {
      done();
      const message = `No slot of pool '${state.key}' came free within ${queue.timeoutMs} ms`;
      reject(new ProxyError('queue_timeout', message, { retryAfterSeconds: waitSeconds(state) }));
    };
    const timer = queue.timeoutMs === 0 ? undefined : setTimeout(timeout, queue.timeoutMs);
    call.undo = () => {
      done();
      resolve(undefined);
    };
    enqueue(seat, waiter);
  });
}

/** At the end; but before all others for who holds the pool's slot, or they could wait for each other. */
function enqueue({ state: { waiters }, holdsPool }: Seat, waiter: Waiter): void {
  const behind = holdsPool ? [...waiters] : [];
  if (holdsPool) waiters.clear();
  waiters.add(waiter);
  for (const other of behind) waiters.add(other);
}

/** How long the queue takes to empty at the pace of late: those waiting, over those served at a time, in seconds. */
export function waitSeconds(state: PoolState): number {
  const turns = (state.waiters.size + 1) / Math.max(1, state.inFlight);
  return Math.max(1, Math.ceil(turns * state.meanSeconds));
}
