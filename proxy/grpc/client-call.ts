import { constants, type ServerHttp2Stream } from 'node:http2';
import { type HeldBytes, tooMuchHeld } from '../http/body.ts';
import { type CallRecord, createCallRecord } from './call-record.ts';
import { type Status, status } from './codes.ts';
import { metadataValue } from './metadata.ts';
import { statusOfError } from './refusal.ts';
import { CONTENT_TYPE, statusHeaders, trailersOf, trailersOnly } from './status.ts';
import { parseTimeout } from './timeout.ts';

/** A client that takes no byte for so long holds a slot for nothing. */
const STALLED_READER_MS = 60_000;
/** For the next byte of a message that is not whole. */
const UNFINISHED_MS = 30_000;
/** For a client to stop sending once it has its answer. */
const LATE_SENDER_MS = 2_000;

/** Why a call is over before its answer was. */
export type CallEnd = 'client' | 'deadline';

/** What calls keep of their requests is counted together with what requests over HTTP do. */
export interface Holds {
  readonly held: HeldBytes;
  readonly maxHeldBytes: number;
}

/** The client's side of one call; state over many callbacks: hence a class. */
export class ClientCall {
  readonly stream: ServerHttp2Stream;
  readonly path: string;
  /** Flat, as they came, pseudo headers too. */
  readonly rawHeaders: readonly string[];
  readonly record: CallRecord = createCallRecord(performance.now());
  /** Monotonic, in milliseconds; Infinity: no deadline. */
  deadlineAt = Number.POSITIVE_INFINITY;
  /** Flat: what is said beside the upstream's own trailers. Whoever routes it may set it at any time. */
  extraTrailers: readonly string[] = [];
  /** Once, when the client is gone or its time over; by then the client has been answered. */
  onLeave: (why: CallEnd) => void = ignore;
  /** After a `write` that gave false. */
  onDrain: () => void = ignore;
  /** Once, with the status it ended with; CANCELLED where the client left. */
  onOver: (end: Status) => void = ignore;
  readonly #holds: Holds;
  #heldBytes = 0;
  #hasHead = false;
  #isOver = false;
  #trailers: readonly string[] = [];
  #deadline: NodeJS.Timeout | undefined;
  #stall: NodeJS.Timeout | undefined;
  #unfinished: NodeJS.Timeout | undefined;

  constructor(stream: ServerHttp2Stream, path: string, rawHeaders: readonly string[], holds: Holds) {
    this.#holds = holds;
    this.stream = stream;
    this.path = path;
    this.rawHeaders = rawHeaders;
    stream.once('close', () => this.#onClose());
  }

  /** Takes the client's deadline; a call whose deadline means nothing is over. */
  start(): void {
    const timeout = metadataValue(this.rawHeaders, 'grpc-timeout');
    if (timeout === '') return;
    const timeoutMs = parseTimeout(timeout);
    if (timeoutMs === undefined) this.end(status('INVALID_ARGUMENT', 'The metadata grpc-timeout is no timeout'));
    else this.limit(timeoutMs);
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Whether anything of an answer has gone out. */
  get hasHead(): boolean {
    return this.#hasHead;
  }

  /** Sets a deadline where the client gave none. 0: none. */
  limit(timeoutMs: number): void {
    if (timeoutMs === 0 || this.#isOver || this.deadlineAt !== Number.POSITIVE_INFINITY) return;
    this.deadlineAt = performance.now() + timeoutMs;
    this.#deadline = setTimeout(() => this.#expire(TIMEOUT), timeoutMs);
  }

  /**
   * Says how many bytes are kept for it by now: of a message that is not whole yet, and of others. Gives the refusal
   * where with those of all other calls that is too much.
   */
  hold(partBytes: number, otherBytes: number): Status | undefined {
    if (this.#isOver) return undefined;
    this.#awaitRest(partBytes > 0);
    const { held, maxHeldBytes } = this.#holds;
    const more = partBytes + otherBytes - this.#heldBytes;
    this.#heldBytes += more;
    held.total += more;
    return more > 0 && held.total > maxHeldBytes ? statusOfError(tooMuchHeld(held, maxHeldBytes)) : undefined;
  }

  /** Sends initial metadata, once; what comes later is dropped. */
  head(metadata: readonly string[]): void {
    if (this.#hasHead || this.#isOver || this.stream.destroyed || this.stream.closed) return;
    this.#hasHead = true;
    this.stream.respond([':status', '200', ...metadata], WITH_TRAILERS);
    this.stream.once('wantTrailers', () => this.#sendTrailers());
  }

  /** Whether more may be written now. */
  write(chunk: Buffer): boolean {
    if (this.#isOver) return true;
    this.head(PLAIN_HEAD);
    if (this.record.firstByteAt === 0) this.record.firstByteAt = performance.now();
    if (this.stream.write(chunk)) return true;
    if (this.#stall !== undefined) return false;
    this.#stall = setTimeout(() => this.stream.close(constants.NGHTTP2_CANCEL), STALLED_READER_MS);
    this.stream.once('drain', () => {
      clearTimeout(this.#stall);
      this.#stall = undefined;
      if (!this.#isOver) this.onDrain();
    });
    return false;
  }

  /** The end, by a status of ours, or by an upstream's trailers, passed as they came; `last` goes before them. */
  end(end: Status & { readonly trailers?: readonly string[] }, last?: Buffer): void {
    if (this.#isOver) return;
    if (last !== undefined) {
      this.head(PLAIN_HEAD);
      if (this.record.firstByteAt === 0) this.record.firstByteAt = performance.now();
    }
    this.#over(end);
    if (this.stream.destroyed || this.stream.closed) return;
    const trailers = end.trailers?.length ? end.trailers : statusHeaders(end);
    if (this.#hasHead) {
      this.#trailers = [...withoutContentType(trailers), ...this.extraTrailers];
      if (last === undefined) this.stream.end();
      else this.stream.end(last);
    } else {
      const headers = end.trailers?.length
        ? [':status', '200', ...withContentType(trailers), ...this.extraTrailers]
        : trailersOnly(end, this.extraTrailers);
      this.stream.respond(headers, ONLY_HEADERS);
    }
    if (!this.stream.readableEnded) this.#dropRest();
  }

  #sendTrailers(): void {
    if (!this.stream.destroyed && !this.stream.closed) this.stream.sendTrailers(trailersOf(this.#trailers));
  }

  /** What the client still sends is read and dropped, for a while: cutting at once could cut the answer. */
  #dropRest(): void {
    const { stream } = this;
    const timer = setTimeout(() => stream.close(constants.NGHTTP2_NO_ERROR), LATE_SENDER_MS);
    stream.once('close', () => clearTimeout(timer));
    stream.removeAllListeners('data');
    stream.resume();
  }

  /** A client that never ends its message would keep what others need. */
  #awaitRest(isDue: boolean): void {
    if (!isDue) {
      clearTimeout(this.#unfinished);
      this.#unfinished = undefined;
    } else if (this.#unfinished !== undefined) this.#unfinished.refresh();
    else this.#unfinished = setTimeout(() => this.#onUnfinished(), UNFINISHED_MS);
  }

  #onUnfinished(): void {
    // While nothing is read, it is not the client that is late.
    if (this.stream.isPaused()) this.#unfinished?.refresh();
    else this.#expire(UNFINISHED);
  }

  #expire(why: Status): void {
    if (this.#isOver) return;
    this.end(why);
    this.onLeave('deadline');
  }

  #onClose(): void {
    clearTimeout(this.#stall);
    if (this.#isOver) return;
    this.#over(status('CANCELLED', 'The client left'));
    this.onLeave('client');
  }

  #over(end: Status): void {
    this.#isOver = true;
    clearTimeout(this.#deadline);
    clearTimeout(this.#unfinished);
    this.#holds.held.total -= this.#heldBytes;
    this.onOver(end);
  }
}

function ignore(): void {}

const TIMEOUT = status('DEADLINE_EXCEEDED', 'Request timeout');
const UNFINISHED = status(
  'DEADLINE_EXCEEDED',
  `No byte of an unfinished message came within ${UNFINISHED_MS / 1000} s`,
);
const WITH_TRAILERS = { waitForTrailers: true, sendDate: false };
const ONLY_HEADERS = { endStream: true, sendDate: false };
const PLAIN_HEAD = ['content-type', CONTENT_TYPE];

/** Headers that an upstream gave in place of headers and trailers have theirs already. */
function withContentType(trailers: readonly string[]): readonly string[] {
  return metadataValue(trailers, 'content-type') === '' ? [...PLAIN_HEAD, ...trailers] : trailers;
}

/** Of those, as trailers. */
function withoutContentType(trailers: readonly string[]): readonly string[] {
  if (metadataValue(trailers, 'content-type') === '') return trailers;
  return trailers.filter((_, index) => trailers[index - (index % 2)] !== 'content-type');
}
