import { endStep, limitStep } from '../alarm.ts';
import type { Endpoint, Timeouts } from '../pool.ts';
import type { Incoming, Sending, StreamedBody } from '../upstream/http1/connection.ts';
import { type Cause, causeOfError, causeOfStatus, isConnectionLoss, isRetried } from '../upstream/outcome.ts';
import { createEventGate, type EventGate } from './answer/event-gate.ts';
import { addToTail, createTail, type Tail, usageInTail } from './answer/tail.ts';
import { judgeUnary } from './answer/unary-verdict.ts';
import type { Exchange } from './exchange.ts';
import { headerOf } from './headers.ts';
import { addPiece, createPieces, listOf, wholeOf } from './pieces.ts';
import { isEventStream } from './response-headers.ts';

/** What goes to one endpoint. */
export interface UpstreamRequest {
  readonly endpoint: Endpoint;
  readonly method: string;
  readonly path: string;
  /** Flat: name, value, name, value. */
  readonly headers: string[];
  readonly body: Buffer | StreamedBody | undefined;
  readonly timeouts: Timeouts;
  /** Whether a 200 that is no JSON, or holds an error, is nonsense. */
  readonly expectsJson: boolean;
}

/** An upstream's answer, whole. */
export interface Answer {
  readonly status: number;
  readonly headers: string[];
  readonly body: Buffer;
}

/** Stops and starts the bytes of an answer. */
export interface Flow {
  readonly pause: () => void;
  readonly resume: () => void;
  /** Whoever takes the answer is gone. */
  readonly abandon: () => void;
}

/** Whom an answer is for. From the first byte of its body on, it is the answer, for better or worse. */
export interface Sink {
  /** Followed by at least one `data`, then by `end` or `cut`; or by `end` at once. */
  readonly begin: (flow: Flow, status: number, headers: string[]) => void;
  readonly data: (chunk: Buffer) => void;
  readonly end: () => void;
  /** The upstream is lost in mid-answer. */
  readonly cut: () => void;
  /** In place of all that: the answer of a failed attempt, with nothing better to come. */
  readonly pass: (answer: Answer, retryAfterSeconds?: number) => void;
}

/**
 * `answered`: the sink has an answer, whole, or cut after its first byte. `failed`: it has seen nothing, another
 * endpoint may do better; `answer` is what the upstream said, where that may be passed on. `ended`: the call is over.
 */
export type AttemptResult =
  | { readonly kind: 'answered'; readonly cause: Cause }
  | Failed
  | { readonly kind: 'ended'; readonly cause: Cause };

export interface Failed {
  readonly kind: 'failed';
  readonly backend: string;
  readonly cause: Cause;
  readonly message: string;
  readonly answer?: Answer;
}

/** Answers are held up to so much: to be judged as a whole, or to be passed on when nothing better comes. */
const MAX_HELD_BYTES = 256 * 1024;

/** The words of a failure are worth a wait, but not a long one: another endpoint may be asked meanwhile. */
const FAILURE_MS = 1_000;

/**
 * What is done with the bytes of an answer: `relay`: they are the sink's; `whole`: held until they can be judged;
 * `events`: held until the first event with content; `failed`: held to be passed on when nothing better comes.
 */
type Mode = 'relay' | 'whole' | 'events' | 'failed';

/** Sends a request to one endpoint and gives its answer to the sink, unless another endpoint should be asked. */
export function attempt(
  exchange: Exchange,
  request: UpstreamRequest,
  sink: Sink,
  onResult: (result: AttemptResult) => void,
): void {
  new Attempt(exchange, request, sink, onResult).send(false);
}

/** It has state over several callbacks and is made for each attempt: hence a class. */
class Attempt implements Incoming, Flow {
  readonly #exchange: Exchange;
  readonly #request: UpstreamRequest;
  readonly #sink: Sink;
  readonly #onResult: (result: AttemptResult) => void;
  #sending: Sending | undefined;
  #isFresh = false;
  #done = false;
  /** A byte of the body has come. */
  #hasBytes = false;
  /** The sink has been given the head. */
  #isSinks = false;
  #mode: Mode = 'relay';
  #cause: Cause = 'ok';
  #status = 0;
  #headers: string[] = [];
  #held = createPieces();
  #heldBytes = 0;
  #gate: EventGate | undefined;
  #tail: Tail | undefined;
  /** One for every step: no closure a chunk. */
  readonly #late = (): void => (this.#hasBytes ? this.#isSilent() : this.#firstByteIsLate());

  constructor(exchange: Exchange, request: UpstreamRequest, sink: Sink, onResult: (result: AttemptResult) => void) {
    this.#exchange = exchange;
    this.#request = request;
    this.#sink = sink;
    this.#onResult = onResult;
    exchange.call.undo = () => this.#end();
  }

  send(fresh: boolean): void {
    this.#isFresh = fresh;
    limitStep(this.#exchange.alarm, this.#request.timeouts.firstByteMs, this.#late);
    this.#sending = this.#request.endpoint.state.connections.send(this.#request, this, fresh);
    if (this.#done) this.#sending.abort();
  }

  onHead(status: number, headers: string[], cause = causeOfStatus(status)): void {
    this.#status = status;
    this.#headers = headers;
    this.#cause = cause;
    this.#mode = this.#modeOf(status, headers);
    if (this.#mode === 'events') this.#gate = createEventGate();
    const { firstByteMs } = this.#request.timeouts;
    if (this.#mode === 'failed' && (firstByteMs === 0 || firstByteMs > FAILURE_MS)) this.#awaitFailure();
  }

  #awaitFailure(): void {
    const late = (): void => this.#failAndClose(this.#cause, `answered ${this.#status}`);
    limitStep(this.#exchange.alarm, FAILURE_MS, late);
  }

  #modeOf(status: number, headers: string[]): Mode {
    if (isRetried(this.#cause)) return 'failed';
    const encoding = headerOf(headers, 'content-encoding');
    if (status !== 200 || (encoding !== '' && encoding !== 'identity')) return 'relay';
    if (isEventStream(headerOf(headers, 'content-type'))) return 'events';
    if (!this.#request.expectsJson) return 'relay';
    if (Number(headerOf(headers, 'content-length')) <= MAX_HELD_BYTES) return 'whole';
    this.#tail = createTail();
    return 'relay';
  }

  onData(chunk: Buffer): void {
    if (!this.#hasBytes) {
      this.#hasBytes = true;
      this.#exchange.firstByteAt = performance.now();
      if (this.#mode === 'failed') this.#awaitFailure();
    }
    if (this.#mode !== 'failed') limitStep(this.#exchange.alarm, this.#request.timeouts.idleMs, this.#late);
    if (this.#mode === 'relay') {
      this.#pass(chunk);
      return;
    }
    addPiece(this.#held, chunk);
    this.#heldBytes += chunk.length;
    if (this.#mode === 'events') this.#feed(chunk);
    else if (this.#heldBytes > MAX_HELD_BYTES) this.#isTooLargeToHold();
  }

  #feed(chunk: Buffer): void {
    const verdict = this.#gate?.feed(chunk) ?? 'release';
    if (verdict === 'error') this.#failAndClose('error_in_body', 'its first event was an error');
    else if (verdict === 'no_content') this.#failAndClose('no_content', 'its event stream was over before any content');
    else if (verdict === 'release') this.#release();
  }

  #isTooLargeToHold(): void {
    if (this.#mode === 'failed') this.#failAndClose(this.#cause, `answered ${this.#status}`);
    else this.#release();
  }

  /** What was held is the sink's, and all that follows. Of a stream this is what its client waited for. */
  #release(): void {
    if (this.#mode === 'events') this.#exchange.firstByteAt = performance.now();
    this.#mode = 'relay';
    this.#gate = undefined;
    this.#tail = createTail();
    const held = listOf(this.#held);
    this.#held = createPieces();
    for (const chunk of held) this.#pass(chunk);
  }

  #pass(chunk: Buffer): void {
    if (!this.#isSinks) {
      this.#isSinks = true;
      this.#exchange.isServed = true;
      this.#sink.begin(this, this.#status, this.#headers);
    }
    if (this.#tail !== undefined) addToTail(this.#tail, chunk);
    this.#sink.data(chunk);
  }

  onEnd(): void {
    if (this.#mode === 'relay') this.#answerIsWhole();
    else if (this.#mode === 'whole') this.#judge();
    else if (this.#mode === 'events') this.#fail('no_content', 'its event stream ended before any content');
    else this.#fail(this.#cause, `answered ${this.#status}`, this.#answer());
  }

  #judge(): void {
    const { fault, usage } = judgeUnary(headerOf(this.#headers, 'content-type'), wholeOf(this.#held));
    if (fault !== '') {
      this.#fail(fault, `answered ${this.#status}: ${fault}`);
      return;
    }
    this.#exchange.usage = usage;
    this.#mode = 'relay';
    for (const chunk of listOf(this.#held)) this.#pass(chunk);
    this.#answerIsWhole();
  }

  #answerIsWhole(): void {
    if (!this.#isSinks) this.#sink.begin(this, this.#status, this.#headers);
    if (this.#tail !== undefined) this.#exchange.usage = usageInTail(this.#tail);
    this.#sink.end();
    this.#finish({ kind: 'answered', cause: this.#cause });
  }

  onError(error: Error, cause = causeOfError(error, this.#hasBytes)): void {
    if (this.#isSinks) {
      this.#sink.cut();
      this.#finish({ kind: 'answered', cause: 'cut_in_answer' });
      return;
    }
    if (this.#mayGoFresh(error)) this.send(true);
    else this.#fail(cause, error.message || error.name);
  }

  /** A kept connection that the server closed just as we wrote: the request was not seen, or can be repeated as new. */
  #mayGoFresh(error: Error): boolean {
    const { body } = this.#request;
    const repeatable = body === undefined || Buffer.isBuffer(body) || !body.started();
    const { isReused = false, answerBegan = true } = this.#sending ?? {};
    return isReused && repeatable && !this.#isFresh && !answerBegan && isConnectionLoss(error);
  }

  pause(): void {
    endStep(this.#exchange.alarm);
    this.#sending?.pause();
  }

  resume(): void {
    limitStep(this.#exchange.alarm, this.#request.timeouts.idleMs, this.#late);
    this.#sending?.resume();
  }

  /** The client's side is over: it left, or took nothing for too long. */
  abandon(): void {
    if (this.#done) return;
    this.#sending?.abort();
    this.#finish({ kind: 'ended', cause: 'client_left' });
  }

  #firstByteIsLate(): void {
    const { firstByteMs } = this.#request.timeouts;
    const leftMs = this.#uploadCameAt() + firstByteMs - performance.now();
    if (leftMs > 0) limitStep(this.#exchange.alarm, leftMs, this.#late);
    else this.#failAndClose('first_byte_timeout', `no first byte within ${firstByteMs} ms`);
  }

  /** An upstream owes no answer to what a client has not sent yet. */
  #uploadCameAt(): number {
    const { body } = this.#request;
    return body === undefined || Buffer.isBuffer(body) ? Number.NEGATIVE_INFINITY : body.cameAt();
  }

  #isSilent(): void {
    if (this.#done) return;
    if (!this.#isSinks) {
      this.#failAndClose('stall', `sent nothing for ${this.#request.timeouts.idleMs} ms`);
      return;
    }
    this.#sending?.abort();
    this.#sink.cut();
    this.#finish({ kind: 'answered', cause: 'stall' });
  }

  /** The call has ended: its client left, its time is over, or its body is refused. */
  #end(): void {
    if (this.#done) return;
    this.#sending?.abort();
    if (this.#isSinks) this.#sink.cut();
    const cause = this.#exchange.call.ended === 'deadline' ? 'deadline' : 'client_left';
    this.#finish({ kind: this.#isSinks ? 'answered' : 'ended', cause });
  }

  #failAndClose(cause: Cause, what: string): void {
    if (this.#done) return;
    this.#sending?.abort();
    this.#fail(cause, what);
  }

  #fail(cause: Cause, what: string, answer?: Answer): void {
    const { backend, address } = this.#request.endpoint;
    const failed = {
      kind: 'failed',
      backend: backend.name,
      cause,
      message: `${backend.name} (${address}): ${what}`,
    } as const;
    this.#finish(answer === undefined ? failed : { ...failed, answer });
  }

  #answer(): Answer {
    return { status: this.#status, headers: this.#headers, body: wholeOf(this.#held) };
  }

  #finish(result: AttemptResult): void {
    if (this.#done) return;
    this.#done = true;
    endStep(this.#exchange.alarm);
    this.#exchange.call.undo = undefined;
    this.#onResult(result);
  }
}
