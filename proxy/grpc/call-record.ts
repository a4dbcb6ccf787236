import type { Grant } from '../admit/limits.ts';
import type { AttemptRecord } from '../http/exchange.ts';
import type { PoolSeries } from '../metrics/series.ts';
import type { Target } from './target.ts';

/** What was learned of a call so far, for its trailers, its metrics and its access line. Monotonic milliseconds. */
export interface CallRecord {
  readonly startedAt: number;
  /** Of its first message. */
  target: Target | undefined;
  /** `namespace/name` of the first instance it found; empty until then. */
  pool: string;
  /** Where it is counted; undefined until an instance is found. */
  series: PoolSeries | undefined;
  /** When its first message was taken in. */
  messageAt: number;
  /** From then to the first attempt, the queue not counted. */
  overheadMs: number;
  queueMs: number;
  attempts: number;
  /** The last ones, at most `MAX_TRAIL`. */
  readonly trail: AttemptRecord[];
  /** When the first byte of an answer went to the client; 0: none has. */
  firstByteAt: number;
  /** What it took of limits on tokens before that. */
  readonly grants: Grant[];
}

/** A stream may go to many instances. */
const MAX_TRAIL = 16;

export function createCallRecord(startedAt: number): CallRecord {
  return {
    startedAt,
    target: undefined,
    pool: '',
    series: undefined,
    messageAt: 0,
    overheadMs: 0,
    queueMs: 0,
    attempts: 0,
    trail: [],
    firstByteAt: 0,
    grants: [],
  };
}

export function noteAttempt({ trail }: CallRecord, attempt: AttemptRecord): void {
  if (trail.length === MAX_TRAIL) trail.shift();
  trail.push(attempt);
}
