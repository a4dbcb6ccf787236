/**
 * A token bucket as an instant: when it will be full again. It holds a minute's worth and refills at that pace, so each
 * token taken moves that instant on by its part of a minute. How full it is, is thus a part and no amount: when the
 * capacity changes, that part stays. Times are of the monotonic clock, in milliseconds.
 */
export interface Bucket {
  /** Tokens that it holds when full, and gets back in a minute; more than 0. */
  capacity: number;
  fullAt: number;
  /** Since when it has not been full, if it is not. */
  drawnSince: number;
}

/** What was taken of a bucket, so that it can be settled when the true number is known. */
export interface Taken {
  readonly bucket: Bucket;
  readonly tokens: number;
  /** The bucket's, when it was taken. */
  readonly capacity: number;
  readonly at: number;
}

export const MINUTE_MS = 60_000;
/** An upstream that claims absurd usage closes a bucket for this long, not for ever. */
const LONGEST_DEBT_MS = 60 * MINUTE_MS;
/** Sums of parts of a minute are this exact; a wait that is over may not fail by the last bit. */
export const EXACT_MS = 0.001;

/** A full one. */
export function createBucket(capacity: number, now: number): Bucket {
  return { capacity, fullAt: now, drawnSince: now };
}

/** The limit, or this proxy's share of it, is another now. A debt weighs no more tokens than before, nor more time. */
export function resize(bucket: Bucket, capacity: number, now: number): void {
  const debtMs = bucket.fullAt - now - MINUTE_MS;
  if (debtMs > 0 && capacity > bucket.capacity) bucket.fullAt -= debtMs * (1 - bucket.capacity / capacity);
  bucket.capacity = capacity;
}

/** How long until so many tokens are there: 0 where they are. More than the bucket can ever hold means all of it. */
export function waitMs(bucket: Bucket, tokens: number, now: number): number {
  const overMs = fullInMs(bucket, now) + costMs(Math.min(tokens, bucket.capacity), bucket.capacity) - MINUTE_MS;
  return overMs > EXACT_MS ? overMs : 0;
}

/** Takes them, or all that the bucket can ever hold; `waitMs` has said that they are there. */
export function take(bucket: Bucket, tokens: number, now: number): Taken {
  const { capacity } = bucket;
  const taken = Math.min(tokens, capacity);
  draw(bucket, costMs(taken, capacity), now);
  return { bucket, tokens: taken, capacity, at: now };
}

/** Charges what was used beyond what was taken, or gives back the rest. The level may become less than nothing. */
export function settleTaken(taken: Taken, usedTokens: number, now: number): void {
  const { bucket, tokens, capacity, at } = taken;
  if (usedTokens > tokens) {
    draw(bucket, costMs(usedTokens - tokens, bucket.capacity), now);
    bucket.fullAt = Math.min(bucket.fullAt, now + MINUTE_MS + LONGEST_DEBT_MS);
    return;
  }
  // A bucket that was full since has refilled these tokens already: they would be there twice.
  if (at >= bucket.drawnSince) bucket.fullAt -= costMs(tokens - usedTokens, capacity);
}

/** Whole tokens that can be taken now from a bucket that is to hold `capacity`; at least 0. */
export function remainingTokens(bucket: Bucket, capacity: number, now: number): number {
  const filled = 1 - (fullInMs(bucket, now) - EXACT_MS) / MINUTE_MS;
  return Math.max(0, Math.floor(filled * capacity));
}

/** How long until it is full; 0 where it is. */
export function fullInMs(bucket: Bucket, now: number): number {
  return Math.max(0, bucket.fullAt - now);
}

function draw(bucket: Bucket, ms: number, now: number): void {
  if (bucket.fullAt <= now) {
    bucket.fullAt = now;
    bucket.drawnSince = now;
  }
  bucket.fullAt += ms;
}

function costMs(tokens: number, capacity: number): number {
  return (tokens / capacity) * MINUTE_MS;
}
