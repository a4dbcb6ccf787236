/** What is short: '' is nothing. */
export type OverloadReason = '' | 'event_loop' | 'heap';

export interface OverloadLimits {
  readonly sampleEveryMs: number;
  /** How late the event loop may come to what is due. */
  readonly maxDelayMs: number;
  /** Of V8's heap limit, 0 to 1. */
  readonly maxHeapPart: number;
}

/** What one look found. */
export interface Sample {
  readonly now: number;
  /** How much later than due the look came. */
  readonly delayMs: number;
  readonly heapPart: number;
}

/** What is known from looks so far. Times are of the monotonic clock, in milliseconds. */
export interface OverloadState {
  reason: OverloadReason;
  isLate: boolean;
  /** Looks in a row that speak against `isLate`. */
  contraryLooks: number;
  isHeapFull: boolean;
  /** Looks since the heap was found full. */
  heapLooks: number;
  since: number;
  delayMs: number;
}

/** Whether to refuse new work, and how long the refused should stay away. */
export interface Overload {
  readonly reason: () => OverloadReason;
  /** Whole seconds, 1 to 30. */
  readonly retryAfterSeconds: () => number;
  readonly stop: () => void;
}

export interface OverloadDeps extends OverloadLimits {
  /** Monotonic, in milliseconds. */
  readonly now: () => number;
  /** Bytes. */
  readonly heapUsed: () => number;
  /** Bytes. */
  readonly heapLimit: number;
}

export const OVERLOAD: OverloadLimits = { sampleEveryMs: 250, maxDelayMs: 500, maxHeapPart: 0.92 };

/** So many looks in a row must agree: one long collection, or a laptop that slept, is over when it is seen. */
const LOOKS = 4;
/** Full until it has fallen this far below `maxHeapPart`. */
const HEAP_SLACK = 0.05;
/** While the heap is full, one look's time in so many lets work in. */
const HEAP_PAUSE = 16;
const LONGEST_SECONDS = 30;

export function createOverloadState(): OverloadState {
  return { reason: '', isLate: false, contraryLooks: 0, isHeapFull: false, heapLooks: 0, since: 0, delayMs: 0 };
}

/** Takes one look into account. */
export function look(state: OverloadState, sample: Sample, limits: OverloadLimits): void {
  const wasOver = state.isLate || state.isHeapFull;
  lookAtDelay(state, sample.delayMs, limits.maxDelayMs);
  lookAtHeap(state, sample.heapPart, limits.maxHeapPart);
  if (!wasOver) state.since = sample.now;
  state.delayMs = sample.delayMs;
  state.reason = reasonOf(state);
}

/** What has lasted this long is taken to last as long again, and no less than the loop is late: 1 to 30. */
export function overloadSeconds({ since, delayMs }: OverloadState, now: number): number {
  return withinBounds(Math.max(now - since, delayMs) / 1000);
}

/**
 * For one refused because too many bytes of bodies are held: in the mean time of a call as many as may be held leave.
 * Whole seconds, 1 to 30.
 */
export function retryAfterForHeld(heldBytes: number, maxHeldBytes: number, meanSeconds: number): number {
  return withinBounds((heldBytes / Math.max(1, maxHeldBytes)) * meanSeconds);
}

/** Looks on a timer of its own, which keeps no process alive, until `stop`. */
export function createOverload(deps: OverloadDeps): Overload {
  const { sampleEveryMs, now, heapUsed, heapLimit } = deps;
  const state = createOverloadState();
  let dueAt = now() + sampleEveryMs;
  const timer = setInterval(() => {
    const at = now();
    look(state, { now: at, delayMs: Math.max(0, at - dueAt), heapPart: heapUsed() / heapLimit }, deps);
    dueAt = at + sampleEveryMs;
  }, sampleEveryMs);
  timer.unref();
  return {
    reason: () => state.reason,
    retryAfterSeconds: () => overloadSeconds(state, now()),
    stop: () => clearInterval(timer),
  };
}

function lookAtDelay(state: OverloadState, delayMs: number, maxDelayMs: number): void {
  if (delayMs > maxDelayMs === state.isLate) {
    state.contraryLooks = 0;
    return;
  }
  state.contraryLooks += 1;
  if (state.contraryLooks < LOOKS) return;
  state.isLate = !state.isLate;
  state.contraryLooks = 0;
}

function lookAtHeap(state: OverloadState, heapPart: number, maxHeapPart: number): void {
  const isFull = heapPart > (state.isHeapFull ? maxHeapPart - HEAP_SLACK : maxHeapPart);
  state.heapLooks = isFull && state.isHeapFull ? state.heapLooks + 1 : 0;
  state.isHeapFull = isFull;
}

function reasonOf({ isLate, isHeapFull, heapLooks }: OverloadState): OverloadReason {
  // V8 counts garbage as used until it collects it, and it collects only while work comes in: who never lets any in
  // could refuse for ever.
  const isPause = heapLooks % HEAP_PAUSE === HEAP_PAUSE - 1;
  if (isHeapFull && !isPause) return 'heap';
  return isLate ? 'event_loop' : '';
}

function withinBounds(seconds: number): number {
  return Math.min(LONGEST_SECONDS, Math.max(1, Math.ceil(seconds)));
}
