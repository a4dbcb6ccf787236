/** A call that waits for a slot: told to look again. True once it waits no more. */
export type Waiter = () => boolean;

/** By client, the one whose turn is next first. */
type Lanes = Map<string, Set<Waiter>>;

/**
 * Who waits for a slot of a pool: fair over clients, first come first served within one. Those that try again come
 * first: they hold a slot of the pool already, and may be what the others wait for. Adding, leaving and serving cost
 * the same however many wait.
 */
export interface Queue {
  size: number;
  readonly again: Set<Waiter>;
  readonly lanes: Lanes;
  /** Those of them that have waited long enough to pass over a full tier, which the others may not yet. */
  readonly spilled: Lanes;
  isWaking: boolean;
}

export function createQueue(): Queue {
  return { size: 0, again: new Set(), lanes: new Map(), spilled: new Map(), isWaking: false };
}

export function joinAgain(queue: Queue, waiter: Waiter): void {
  queue.again.add(waiter);
  queue.size += 1;
}

export function joinLane(queue: Queue, client: string, waiter: Waiter): void {
  addTo(queue.lanes, client, waiter);
  queue.size += 1;
}

/** For one in a lane; a second time does nothing. */
export function passOver(queue: Queue, client: string, waiter: Waiter): void {
  if (queue.lanes.get(client)?.has(waiter)) addTo(queue.spilled, client, waiter);
}

/** Also for one that is served; a second time does nothing. */
export function leaveQueue(queue: Queue, client: string, waiter: Waiter): void {
  if (queue.again.delete(waiter) || takeFrom(queue.lanes, client, waiter)) queue.size -= 1;
  takeFrom(queue.spilled, client, waiter);
}

function addTo(lanes: Lanes, client: string, waiter: Waiter): void {
  const lane = lanes.get(client);
  if (lane === undefined) lanes.set(client, new Set([waiter]));
  else lane.add(waiter);
}

function takeFrom(lanes: Lanes, client: string, waiter: Waiter): boolean {
  const lane = lanes.get(client);
  if (lane?.delete(waiter) !== true) return false;
  if (lane.size === 0) lanes.delete(client);
  return true;
}

/** Of those that try again each may lack another endpoint: so many are asked before the others have their turn. */
const ASKED_AGAIN = 32;

/** Lets waiters look again, as long as they are served: after a slot came free, a rest ended, a pool was edited. */
export function wake(queue: Queue): void {
  if (queue.size === 0 || queue.isWaking) return;
  queue.isWaking = true;
  try {
    let asked = 0;
    for (const waiter of queue.again) {
      waiter();
      asked += 1;
      if (asked === ASKED_AGAIN) break;
    }
    serve(queue.lanes);
    // What is of no use to those whose turn it is may be to these.
    serve(queue.spilled);
  } finally {
    queue.isWaking = false;
  }
}

function serve(lanes: Lanes): void {
  for (const [client, lane] of lanes) {
    const [waiter] = lane;
    if (waiter === undefined || !waiter()) return;
    // The client has had its turn: behind the others, where the loop comes by again.
    if (lane.size === 0) continue;
    lanes.delete(client);
    lanes.set(client, lane);
  }
}
