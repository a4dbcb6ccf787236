import { retryAfterForHeld } from '../admit/overload.ts';
import { endStep, limitStep } from '../alarm.ts';
import { ProxyError } from '../errors.ts';
import { type Counter, count } from '../metrics/series.ts';
import type { Times } from '../times.ts';
import type { Exchange } from './exchange.ts';
import { addPiece, createPieces, type Pieces, wholeOf } from './pieces.ts';

/** How much may be held of one body, and of all together, and how long a client is waited for. */
export interface BodyLimits {
  readonly maxBodyBytes: number;
  readonly maxHeldBytes: number;
  readonly times: Pick<Times, 'bodyMs' | 'restMs'>;
}

/** What all requests hold at this moment. */
export interface HeldBytes {
  total: number;
  /** How long a request takes of late: in that time as many bytes leave as may be held. */
  meanSeconds: number;
  /** Requests refused under overload, by reason. */
  readonly shed: Counter;
}

/**
 * The body, whole. Its bytes stay counted as held until `releaseBody`. One of the two is called, once; what `done`
 * throws goes to `fail`.
 * @throws ProxyError where its declared length is too much.
 */
export function readBody(
  exchange: Exchange,
  limits: BodyLimits,
  held: HeldBytes,
  done: (body: Buffer) => void,
  fail: (error: unknown) => void,
): void {
  const { req, alarm, call } = exchange;
  refuseDeclaredLength(exchange, limits);
  askForBody(exchange);
  let pieces: Pieces | undefined = createPieces();
  const stop = (error: Error): void => {
    pieces = undefined;
    endStep(alarm);
    call.undo = undefined;
    fail(error);
  };
  const { bodyMs } = limits.times;
  const late = (): void => stop(lateBody(bodyMs));
  call.undo = () => stop(new ProxyError('client_timeout', 'The client left before its body was complete'));
  limitStep(alarm, bodyMs, late);
  req.on('data', (chunk: Buffer) => {
    if (pieces === undefined) return;
    const refusal = hold(exchange, chunk.length, limits, held);
    if (refusal !== undefined) {
      stop(refusal);
      return;
    }
    addPiece(pieces, chunk);
    limitStep(alarm, bodyMs, late);
  });
  req.on('end', () => {
    if (pieces === undefined) return;
    endStep(alarm);
    call.undo = undefined;
    try {
      done(wholeOf(pieces));
    } catch (error) {
      fail(error);
    }
  });
}

/** Counts bytes that are kept; the refusal where one body or all together are too much. */
export function hold(exchange: Exchange, bytes: number, limits: BodyLimits, held: HeldBytes): ProxyError | undefined {
  exchange.heldBytes += bytes;
  held.total += bytes;
  if (exchange.heldBytes > limits.maxBodyBytes) return tooLarge(limits.maxBodyBytes);
  return held.total <= limits.maxHeldBytes ? undefined : tooMuchHeld(held, limits.maxHeldBytes);
}

/** Counts the refusal, too. */
export function tooMuchHeld(held: HeldBytes, maxHeldBytes: number): ProxyError {
  count(held.shed, 'held_bytes');
  return new ProxyError('overloaded', 'Too many bytes are held at once; try again', {
    retryAfterSeconds: retryAfterForHeld(held.total, maxHeldBytes, held.meanSeconds),
  });
}

/** The exchange is over, or its body has gone upstream. */
export function releaseBody(exchange: Exchange, held: HeldBytes): void {
  held.total -= exchange.heldBytes;
  exchange.heldBytes = 0;
}

export function refuseDeclaredLength(exchange: Exchange, limits: BodyLimits): void {
  const { contentLength } = exchange.head;
  if (contentLength !== undefined && contentLength > limits.maxBodyBytes) throw tooLarge(limits.maxBodyBytes);
}

export function lateBody(bodyMs: number): ProxyError {
  return new ProxyError('client_timeout', `No byte of the request body came within ${bodyMs / 1000} s`);
}

export function tooLarge(maxBodyBytes: number): ProxyError {
  return new ProxyError('request_too_large', `The request body is larger than ${maxBodyBytes} bytes`);
}

/** A client that said `Expect: 100-continue` waits for our word. */
export function askForBody({ head, res }: Exchange): void {
  if (head.expectsContinue) res.writeContinue();
}
