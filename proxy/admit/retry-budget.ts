/**
 * How many retries a pool may make, so that a failing upstream is not asked many times over: a part of its requests of
 * the last ten seconds, and always a few. One count a second, in a ring.
 */
export interface RetryBudget {
  /** The newest second counted, of the clock that `now` is of. */
  second: number;
  readonly requests: number[];
  readonly retries: number[];
}

const SECONDS = 10;
/** In a second, whatever the percentage: a pool that few ask would never retry. */
const ALWAYS_PER_SECOND = 10;

export function createRetryBudget(): RetryBudget {
  return { second: 0, requests: Array(SECONDS).fill(0), retries: Array(SECONDS).fill(0) };
}

/** Once for each request. `now` is monotonic, in milliseconds. */
export function noteRequest(budget: RetryBudget, now: number): void {
  const slot = slotOf(budget, now);
  budget.requests[slot] = (budget.requests[slot] ?? 0) + 1;
}

/** Whether one more retry may be made; it is counted where it may. `now` is monotonic, in milliseconds. */
export function mayRetry(budget: RetryBudget, budgetPercent: number, now: number): boolean {
  const slot = slotOf(budget, now);
  const { requests, retries } = budget;
  const ofThisSecond = retries[slot] ?? 0;
  if (ofThisSecond >= ALWAYS_PER_SECOND && sum(retries) >= (sum(requests) * budgetPercent) / 100) return false;
  retries[slot] = ofThisSecond + 1;
  return true;
}

/** The place of the second that `now` is in; seconds that have passed without a call are emptied on the way. */
function slotOf(budget: RetryBudget, now: number): number {
  const second = Math.floor(now / 1000);
  for (let empty = Math.max(budget.second + 1, second - SECONDS + 1); empty <= second; empty += 1) {
    budget.requests[empty % SECONDS] = 0;
    budget.retries[empty % SECONDS] = 0;
  }
  budget.second = Math.max(budget.second, second);
  return budget.second % SECONDS;
}

function sum(counts: readonly number[]): number {
  let total = 0;
  for (const count of counts) total += count;
  return total;
}
