/** A call that waits for a slot: told to look again. True once it waits no more. */
export type Waiter = () => boolean;

/**
 * Who waits for a slot of a pool: fair over clients, first come first served within one. Those that try again come
 * first: they hold a slot of the pool already, and may be what the others wait for. Adding, leaving and serving cost
 * the same however many wait.
 */
export interface Queue {
  size: number;
  readonly again: Set<Waiter>;
  /** By client, the one whose turn is next first. */
  readonly lanes: Map<string, Set<Waiter>>;
  isWaking: boolean;
}

export function createQueue(): Queue {
  return { size: 0, again: new Set(), lanes: new Map(), isWaking: false };
}

export function joinAgain(queue: Queue, waiter: Waiter): void {
  queue.again.add(waiter);
  queue.size += 1;
}

export function joinLane(queue: Queue, client: string, waiter: Waiter): void {
  const lane = queue.lanes.get(client);
  if (lane === undefined) queue.lanes.set(client, new Set([waiter]));
  else lane.add(waiter);
  queue.size += 1;
}

/** Also for one that is served; a second time does nothing. */
export function leaveQueue(queue: Queue, client: string, waiter: Waiter): void {
  const lane = queue.lanes.get(client);
  const was = queue.again.delete(waiter) || (lane?.delete(waiter) ?? false);
  if (!was) return;
  queue.size -= 1;
  if (lane?.size === 0) queue.lanes.delete(client);
}

/** Of those that try again each may lack another endpoint: so many are asked before the others have their turn. */
const ASKED_AGAIN = 32;

/** Lets waiters look again, as long as they are served: after a slot came free, a rest ended, a pool was edited. */
export function wake(queue: Queue): void {
  if (queue.size === 0 || queue.isWaking) return;
  queue.isWaking = true;
  let asked = 0;
  for (const waiter of queue.again) {
    waiter();
    asked += 1;
    if (asked === ASKED_AGAIN) break;
  }
  for (const [client, lane] of queue.lanes) {
    const [waiter] = lane;
    if (waiter === undefined || !waiter()) break;
    // The client has had its turn: behind the others, where the loop comes by again.
    if (lane.size === 0) continue;
    queue.lanes.delete(client);
    queue.lanes.set(client, lane);
  }
  queue.isWaking = false;
}
