import { CODES, status } from '../grpc/codes.ts';
import { createFrameReader, isCompressed, isCutShort, PREFIX_BYTES, readFrames } from '../grpc/frames.ts';
import type { Sessions } from '../grpc/sessions.ts';
import { UpstreamCall, type UpstreamEvents } from '../grpc/upstream-call.ts';
import { endedBy, type UpstreamEnd } from '../grpc/upstream-end.ts';
import { upstreamHead } from '../grpc/upstream-head.ts';
import { clientError, malformed } from '../upstream/http1/client-error.ts';
import type { Incoming, Sending } from '../upstream/http1/connection.ts';
import { errorAnswer } from './error-answer.ts';
import { headersOf } from './metadata.ts';
import type { TeiCall } from './tei-call.ts';

/** Of one answer: an EmbedAll of a long text is the largest. */
const MAX_MESSAGE_BYTES = 32 * 1024 * 1024;
/** So much of the body is held, so that an error after it still has its status; then it goes out as it comes. */
const MAX_HELD_CHARS = 256 * 1024;
/** Messages without an answer at one time, where nobody said how many the server takes: TEI's own default. */
const DEFAULT_WINDOW = 32;

export interface BridgeRequest {
  readonly sessions: Sessions;
  readonly basePath: string;
  readonly call: TeiCall;
  /** Flat. */
  readonly metadata: string[];
  readonly maxBatch: number | undefined;
}

/** One call of tei.v1 that answers a request over HTTP; state over many callbacks: hence a class. */
export class BridgeCall implements Sending, UpstreamEvents {
  answerBegan = false;
  /** The remote never saw it, or a kept connection died before any answer. */
  isReused = false;
  readonly #incoming: Incoming;
  readonly #call: TeiCall;
  readonly #upstream: UpstreamCall;
  readonly #window: number;
  readonly #reader = createFrameReader(MAX_MESSAGE_BYTES);
  #sent = 0;
  #answered = 0;
  #metadata: string[] = [];
  #hasHead = false;
  #held: string[] = [];
  #heldChars = 0;
  #isPaused = false;
  #isOver = false;
  /** It came, and waits for `resume`. */
  #end: UpstreamEnd | undefined;

  constructor({ sessions, basePath, call, metadata, maxBatch }: BridgeRequest, incoming: Incoming) {
    this.#incoming = incoming;
    this.#call = call;
    this.#window = call.isOneToOne ? (maxBatch ?? DEFAULT_WINDOW) : Number.POSITIVE_INFINITY;
    this.#upstream = new UpstreamCall(sessions, upstreamHead(sessions, basePath + call.method, metadata, []), this);
  }

  open(): void {
    if (!this.#isOver) this.#upstream.open();
  }

  pause(): void {
    this.#isPaused = true;
    this.#upstream.pause();
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#pass();
    if (this.#isPaused || this.#isOver) return;
    if (this.#end === undefined) this.#upstream.resume();
    else this.#finish(this.#end);
  }

  abort(): void {
    this.#isOver = true;
    this.#upstream.cancel();
  }

  onOpen(): void {
    this.#write();
  }

  onHead(metadata: string[]): void {
    this.#metadata = metadata;
  }

  onData(chunk: Buffer): void {
    this.answerBegan = true;
    try {
      const fault = readFrames(this.#reader, chunk, this.#onAnswer);
      if (fault !== undefined) throw malformed(fault.message);
    } catch (error) {
      this.#fail(error as Error);
      return;
    }
    this.#write();
    if (this.#hasHead || this.#heldChars > MAX_HELD_CHARS) this.#pass();
  }

  onDrain(): void {
    this.#write();
  }

  onEnd(said: UpstreamEnd): void {
    if (this.#isOver) return;
    const isShort = said.code === CODES.OK && said.isAnswer && this.#isCut();
    const end = isShort ? TOO_FEW : (this.#call.judge?.(said) ?? said);
    if (this.#isPaused) this.#end = end;
    else this.#finish(end);
  }

  readonly #onAnswer = (frame: Buffer): void => {
    this.#answered += 1;
    if (isCompressed(frame)) throw malformed('a message of it is compressed');
    if (this.#answered > this.#expected) throw malformed('it has more messages than were asked for');
    this.#hold(this.#call.writer.add(frame.subarray(PREFIX_BYTES)));
  };

  get #expected(): number {
    return this.#call.isOneToOne ? this.#call.messages : 1;
  }

  #isCut(): boolean {
    return this.#answered < this.#expected || isCutShort(this.#reader);
  }

  #write(): void {
    const { messages, frame } = this.#call;
    while (this.#sent < messages && this.#sent - this.#answered < this.#window) {
      const index = this.#sent;
      this.#sent += 1;
      if (this.#sent === messages) this.#upstream.finish(frame(index));
      else if (!this.#upstream.write(frame(index))) return;
    }
  }

  #hold(text: string): void {
    this.#held.push(text);
    this.#heldChars += text.length;
  }

  /** What is held goes on, and all that follows. */
  #pass(): void {
    if (this.#isPaused || this.#heldChars === 0) return;
    if (!this.#hasHead) this.#giveHead();
    const bytes = Buffer.from(this.#held.join(''));
    this.#held = [];
    this.#heldChars = 0;
    this.#incoming.onData(bytes);
  }

  #giveHead(bodyBytes?: number): void {
    this.#hasHead = true;
    this.#incoming.onHead(200, headersOf(this.#metadata, bodyBytes), 'ok');
  }

  #finish(end: UpstreamEnd): void {
    if (end.code === CODES.OK && end.isAnswer) this.#succeed();
    else if (end.isAnswer && !this.#hasHead) this.#giveError(end);
    else {
      this.isReused = end.isUnseen;
      this.#fail(clientError('ERR_UPSTREAM_CUT', end.message), end);
    }
  }

  #succeed(): void {
    this.#hold(this.#call.writer.end());
    const bytes = Buffer.from(this.#held.join(''));
    if (!this.#hasHead) this.#giveHead(bytes.length);
    this.#isOver = true;
    if (bytes.length > 0) this.#incoming.onData(bytes);
    this.#incoming.onEnd();
  }

  /** Its trailers may say when to come again. */
  #giveError(end: UpstreamEnd): void {
    const { status: httpStatus, body } = errorAnswer(end, this.#call.errors);
    const bytes = Buffer.from(body);
    this.#isOver = true;
    this.#incoming.onHead(httpStatus, headersOf(end.trailers, bytes.length), end.cause);
    this.#incoming.onData(bytes);
    this.#incoming.onEnd();
  }

  #fail(error: Error, end?: UpstreamEnd): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#upstream.cancel();
    this.#incoming.onError(error, end?.cause);
  }
}

const TOO_FEW = endedBy('malformed_http', status('INTERNAL', 'The backend answered fewer messages than it was sent'));
