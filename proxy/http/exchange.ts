import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Grant } from '../admit/limits.ts';
import { type Alarm, createAlarm } from '../alarm.ts';
import { type Call, createCall } from '../call.ts';
import type { ProxyError } from '../errors.ts';
import type { PoolSeries } from '../metrics/series.ts';
import type { Outcome } from '../upstream/outcome.ts';
import type { Usage } from './answer/usage.ts';
import type { RequestHead } from './request-head.ts';

/** One line of the trail that the access log keeps of a request. */
export interface AttemptRecord {
  readonly backend: string;
  readonly address: string;
  readonly outcome: Outcome;
  readonly ms: number;
}

/** A request on its way: what was learned of it so far, for its answer's headers, its metrics and its access line. */
export interface Exchange {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly head: RequestHead;
  readonly id: string;
  readonly call: Call;
  /** Milliseconds on the monotonic clock. */
  readonly startedAt: number;
  /** As the client asked; at most 256 characters are logged. */
  model: string;
  /** `namespace/name`, empty until a pool is found. */
  pool: string;
  backend: string;
  /** Whose call it is, for fairness and limits; empty: nobody said. */
  client: string;
  /** Its conversation goes to another endpoint than before. */
  hasMoved: boolean;
  /** Flat: OpenAI's x-ratelimit-*, where limits apply. */
  rateHeaders: readonly string[];
  /** What it took of its pool's limits. */
  grant: Grant | undefined;
  /** Where it is counted; undefined until a pool is found. */
  series: PoolSeries | undefined;
  /** Its answer is an event stream. */
  isStream: boolean;
  /** What the upstream said it cost. */
  usage: Usage | undefined;
  /** When the request body was whole, or its model known. */
  bodyAt: number;
  /** Attempts made, refused connections included. */
  attempts: number;
  readonly trail: AttemptRecord[];
  /** When the first byte of its answer came, of a stream the first event with content; 0: none has. */
  firstByteAt: number;
  /** An upstream's answer goes to the client. */
  isServed: boolean;
  queueMs: number;
  overheadMs: number;
  /** The code of our own error, empty for an upstream's answer. */
  errorCode: string;
  /** Why the body, already on its way upstream, was refused after all. */
  refusal: ProxyError | undefined;
  /** It has ended: nothing more is to be done for it. */
  isOver: boolean;
  /** Its time limits. */
  readonly alarm: Alarm;
  /** Whether the connection ends with this answer: the proxy drains, or the connection has reached its age. */
  readonly closes: (req: IncomingMessage) => boolean;
  /** Bytes of the request body that are held in memory. */
  heldBytes: number;
}

const NONE: readonly string[] = [];

export function createExchange(
  req: IncomingMessage,
  res: ServerResponse,
  facts: Pick<Exchange, 'head' | 'id' | 'startedAt' | 'closes'>,
): Exchange {
  const { head, id, startedAt, closes } = facts;
  return {
    head,
    closes,
    req,
    res,
    id,
    call: createCall(),
    startedAt,
    model: '',
    pool: '',
    backend: '',
    client: '',
    hasMoved: false,
    rateHeaders: NONE,
    grant: undefined,
    series: undefined,
    isStream: false,
    usage: undefined,
    bodyAt: startedAt,
    attempts: 0,
    trail: [],
    firstByteAt: 0,
    isServed: false,
    queueMs: 0,
    overheadMs: 0,
    errorCode: '',
    refusal: undefined,
    isOver: false,
    alarm: createAlarm(),
    heldBytes: 0,
  };
}
