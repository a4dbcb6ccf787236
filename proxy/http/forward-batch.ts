import { createAlarm, endWhole, limitWhole, stopAlarm } from '../alarm.ts';
import { createCall, endCall } from '../call.ts';
import { ProxyError } from '../errors.ts';
import type { Answer, Sink } from './attempt.ts';
import { joinEmbeddings } from './batch.ts';
import { type HeldBytes, tooMuchHeld } from './body.ts';
import type { Exchange } from './exchange.ts';
import { type ForwardDeps, type Forwarded, forward, type Sent } from './forward.ts';
import { withSettings } from './headers.ts';
import { addPiece, createPieces, wholeOf } from './pieces.ts';
import { sendAnswer } from './respond.ts';

/** So many parts of one request are under way at a time, so that it cannot fill a queue by itself. */
const PARALLEL = 8;

/** What keeps the parts' answers within bounds. */
export interface BatchDeps extends ForwardDeps {
  readonly limits: { readonly maxHeldBytes: number };
  readonly held: HeldBytes;
}

/**
 * Sends a request in parts, each with its own seat and its own tries, and answers with their lists joined in order; or
 * with the first that came to no list, and the rest are cancelled. `done` as for `forward`.
 */
export function forwardBatch(
  exchange: Exchange,
  request: Forwarded,
  bodies: readonly Sent['bodyFor'][],
  deps: BatchDeps,
  done: (error?: unknown) => void,
): void {
  const answers: Buffer[] = [];
  const parts = new Set<Exchange>();
  let begun = 0;
  let answered = 0;
  let isOver = false;

  const over = (error?: unknown): void => {
    if (isOver) return;
    isOver = true;
    exchange.call.undo = undefined;
    endWhole(exchange.alarm);
    for (const part of parts) endCall(part.call, 'refused');
    done(error);
  };
  const give = (answer: Answer, retryAfterSeconds?: number): void => {
    if (isOver) return;
    exchange.firstByteAt = deps.now();
    exchange.isServed = answer.status === 200;
    sendAnswer(exchange, answer, retryAfterSeconds);
    over();
  };
  const take = (index: number, answer: Answer): void => {
    answers[index] = answer.body;
    answered += 1;
    if (answer.status !== 200) give(answer);
    else if (answered === bodies.length)
      joinInto(answers, (body) => give({ ...answer, headers: ofLength(answer.headers, body.length), body }), over);
  };
  const next = (): void => {
    const index = begun;
    const bodyFor = bodies[index];
    if (isOver || bodyFor === undefined) return;
    begun += 1;
    const part = partOf(exchange);
    parts.add(part);
    // What an attempt gives it says before it is over itself: its part counts first, and is not among those cancelled.
    let then: (() => void) | undefined;
    const come: PartEnds = {
      take: (answer) => {
        then = () => take(index, answer);
      },
      pass: (answer, retryAfterSeconds) => {
        then = () => give(answer, retryAfterSeconds);
      },
      cut: () => {
        then = () => over(new ProxyError('upstream_error', 'An upstream was lost in the middle of its answer'));
      },
      refuse: over,
    };
    forward(part, { ...request, sent: { ...request.sent, bodyFor } }, collect(exchange, deps, come), deps, (error) => {
      stopAlarm(part.alarm);
      parts.delete(part);
      addUp(exchange, part);
      if (error !== undefined || exchange.call.ended !== undefined) over(error);
      else then?.();
      next();
    });
  };

  limitWhole(exchange.alarm, request.sent.state.current?.timeouts.requestMs ?? 0, () =>
    endCall(exchange.call, 'deadline'),
  );
  exchange.call.undo = () => {
    for (const part of parts) endCall(part.call, exchange.call.ended ?? 'client');
  };
  // It may have left while the server was asked how much it takes.
  if (exchange.call.ended !== undefined) over();
  for (let n = 0; n < PARALLEL; n += 1) next();
}

/** An exchange of its own as far as attempts go: they end by themselves, and count for the whole. */
function partOf(exchange: Exchange): Exchange {
  return { ...exchange, call: createCall(), alarm: createAlarm(), attempts: 0, queueMs: 0, usage: undefined };
}

function addUp(exchange: Exchange, part: Exchange): void {
  exchange.attempts += part.attempts;
  exchange.queueMs = Math.max(exchange.queueMs, part.queueMs);
  exchange.overheadMs = Math.max(exchange.overheadMs, part.overheadMs);
  exchange.backend = part.backend;
  if (part.usage === undefined) return;
  const { inputTokens = 0, outputTokens = 0, totalTokens = 0 } = exchange.usage ?? {};
  exchange.usage = {
    inputTokens: inputTokens + part.usage.inputTokens,
    outputTokens: outputTokens + part.usage.outputTokens,
    totalTokens: totalTokens + part.usage.totalTokens,
  };
}

/** What may become of a part. */
interface PartEnds {
  readonly take: (answer: Answer) => void;
  readonly pass: Sink['pass'];
  readonly cut: Sink['cut'];
  /** At once: there is no room for its answer. */
  readonly refuse: (error: ProxyError) => void;
}

/** Takes an answer whole. Its bytes count as held, with those of all requests, until the exchange ends. */
function collect(exchange: Exchange, { limits, held }: BatchDeps, { take, pass, cut, refuse }: PartEnds): Sink {
  const pieces = createPieces();
  let isRefused = false;
  let status = 0;
  let headers: string[] = [];
  return {
    begin: (_flow, givenStatus, givenHeaders) => {
      status = givenStatus;
      headers = givenHeaders;
    },
    data: (chunk) => {
      // What the attempt holds it gives to the end, also where there was no room for the first of it.
      if (isRefused) return;
      addPiece(pieces, chunk);
      exchange.heldBytes += chunk.length;
      held.total += chunk.length;
      if (held.total <= limits.maxHeldBytes) return;
      isRefused = true;
      refuse(tooMuchHeld(held, limits.maxHeldBytes));
    },
    end: () => take({ status, headers, body: wholeOf(pieces) }),
    cut,
    pass,
  };
}

function ofLength(headers: readonly string[], length: number): string[] {
  return withSettings([...headers], ['content-length', String(length)]);
}

function joinInto(answers: readonly Buffer[], give: (body: Buffer) => void, fail: (error: unknown) => void): void {
  let joined: Buffer | undefined;
  try {
    joined = joinEmbeddings(answers);
  } catch {
    joined = undefined;
  }
  if (joined !== undefined) give(joined);
  else fail(new ProxyError('upstream_error', 'An upstream answered with something other than a list of embeddings'));
}
