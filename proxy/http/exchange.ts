import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Alarm, createAlarm } from '../alarm.ts';
import { type Call, createCall } from '../call.ts';
import type { ProxyError } from '../errors.ts';
import type { Outcome } from '../upstream/outcome.ts';
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
  /** When the request body was whole, or its model known. */
  bodyAt: number;
  /** Attempts made, refused connections included. */
  attempts: number;
  readonly trail: AttemptRecord[];
  firstByteAt: number;
  queueMs: number;
  overheadMs: number;
  /** The code of our own error, empty for an upstream's answer. */
  errorCode: string;
  /** Why the body, already on its way upstream, was refused after all. */
  refusal: ProxyError | undefined;
  /** Its time limits. */
  readonly alarm: Alarm;
  /** Whether the connection ends with this answer: the proxy drains, or the connection has reached its age. */
  readonly closes: (req: IncomingMessage) => boolean;
  /** Bytes of the request body that are held in memory. */
  heldBytes: number;
}

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
    bodyAt: startedAt,
    attempts: 0,
    trail: [],
    firstByteAt: 0,
    queueMs: 0,
    overheadMs: 0,
    errorCode: '',
    refusal: undefined,
    alarm: createAlarm(),
    heldBytes: 0,
  };
}
