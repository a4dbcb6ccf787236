import type { ClientCall } from './client-call.ts';
import { CODES, isStatus, type Status, status } from './codes.ts';
import { openEnvelope } from './envelope.ts';
import { createFrameReader, isCutShort, PREFIX_BYTES, readFrames } from './frames.ts';
import { Lane, type LaneEvents } from './lane.ts';
import { requestMetadata } from './metadata.ts';
import type { Method } from './methods.ts';
import type { Destination, Router } from './route.ts';
import { sameTarget, type Target } from './target.ts';
import { endedBy, type UpstreamEnd } from './upstream-end.ts';

/** Answers of unary calls are held until they are whole, up to this: till then another endpoint can be asked. */
const MAX_HELD_ANSWER_BYTES = 256 * 1024;
/** Of a stream of requests as much is kept for another endpoint. */
const MAX_KEPT_BYTES = 4 * 1024 * 1024;
/** What keeping a message takes beside its bytes: there may be many that have none. */
const SLICE_BYTES = 100;

/**
 * Forwards a call whose messages all go to one destination: unary ones, RerankStream, and all of tei.v1. Ends the call,
 * whatever happens. `maxMessageBytes`: of one request.
 */
export function forwardOnOneLane(call: ClientCall, method: Method, router: Router, maxMessageBytes: number): void {
  new OneLane(call, method, router, maxMessageBytes).start();
}

class OneLane implements LaneEvents {
  readonly #call: ClientCall;
  readonly #method: Method;
  readonly #router: Router;
  readonly #reader: ReturnType<typeof createFrameReader>;
  #lane: Lane | undefined;
  #destination: Destination | undefined;
  #target: Target | undefined;
  /** All messages so far, until an answer begins or they are too much; then undefined: they cannot be sent again. */
  #kept: Buffer[] | undefined = [];
  #keptBytes = 0;
  #messages = 0;
  #isComplete = false;
  #isWhole = false;
  #head: string[] | undefined;
  #held: Buffer[] = [];
  #heldBytes = 0;

  constructor(call: ClientCall, method: Method, router: Router, maxMessageBytes: number) {
    this.#call = call;
    this.#method = method;
    this.#router = router;
    this.#reader = createFrameReader(maxMessageBytes);
  }

  start(): void {
    const { stream } = this.#call;
    this.#call.onLeave = (why) => this.#lane?.cancel(why);
    this.#call.onDrain = () => this.#lane?.resume();
    // Its first message may come long after its answer has begun: a Watch, a client that waits for initial metadata.
    if (!this.#method.isWrapped && this.#method.kind !== 'unary') this.#begin(undefined, undefined);
    if (this.#call.isOver) return;
    const onFrame = (frame: Buffer): void => this.#onFrame(frame);
    stream.on('data', (chunk: Buffer) => {
      if (this.#call.isOver) return;
      const fault = readFrames(this.#reader, chunk, onFrame) ?? this.#hold();
      if (fault !== undefined) this.#fail(fault);
    });
    stream.on('end', () => this.#onRequestEnd());
  }

  onOpen(): void {
    this.#head = undefined;
    this.#held = [];
    this.#heldBytes = 0;
    const kept = this.#kept ?? [];
    const last = this.#isComplete ? kept.length - 1 : kept.length;
    for (const frame of kept.slice(0, last)) this.#write(frame);
    if (this.#isComplete) this.#lane?.finish(kept[last]);
    else if (this.#keptBytes > MAX_KEPT_BYTES) this.#kept = undefined;
  }

  onHead(metadata: string[]): void {
    this.#head = metadata;
    if (this.#method.kind !== 'unary') this.#call.head(metadata);
  }

  onData(chunk: Buffer): void {
    if (this.#method.kind === 'unary' && !this.#call.hasHead) {
      this.#held.push(chunk);
      this.#heldBytes += chunk.length;
      if (this.#heldBytes <= MAX_HELD_ANSWER_BYTES) return;
      this.#call.head(this.#head ?? []);
      this.#pass(this.#takeHeld() as Buffer);
    } else this.#pass(chunk);
    if (this.#kept === undefined) return;
    this.#kept = undefined;
    this.#hold();
  }

  onDrain(): void {
    this.#call.stream.resume();
  }

  mayMove(): boolean {
    return this.#kept !== undefined && !this.#call.isOver;
  }

  /** Answers are not counted here: whatever is left of them is owed once the last message has gone. */
  owes(): boolean {
    return this.#isComplete;
  }

  judge(end: UpstreamEnd): UpstreamEnd {
    const isHeld = this.#method.kind === 'unary' && !this.#call.hasHead;
    if (!isHeld || !end.isAnswer || end.code !== CODES.OK) return end;
    this.#isWhole = isOneFrame(this.#held, this.#heldBytes);
    return this.#isWhole ? end : NO_MESSAGE;
  }

  onEnd(end: UpstreamEnd): void {
    if (!this.#isWhole) this.#held = [];
    if (this.#head !== undefined && end.isAnswer) this.#call.head(this.#head);
    this.#call.end(end, this.#takeHeld());
  }

  #onFrame(frame: Buffer): void {
    if (this.#call.isOver) return;
    this.#messages += 1;
    const isOneTooMany = this.#method.kind === 'unary' && this.#messages > 1;
    const opened = this.#method.isWrapped
      ? openEnvelope(frame, this.#method.requestName)
      : { frame, target: undefined };
    if (isOneTooMany) this.#fail(TWO_MESSAGES);
    else if (isStatus(opened)) this.#fail(opened);
    else this.#send(opened.frame, opened.target);
  }

  #send(frame: Buffer, target: Target | undefined): void {
    this.#keep(frame);
    if (this.#lane === undefined) {
      // A unary client sends one message: with it, all has come.
      this.#isComplete = this.#method.kind === 'unary';
      this.#begin(target, frame.length);
    } else {
      const fault = this.#check(target, frame.length);
      if (fault !== undefined) this.#fail(fault);
      else if (this.#lane.isOpen) this.#write(frame);
    }
  }

  #begin(target: Target | undefined, messageBytes: number | undefined): void {
    const destination = this.#router.resolve(this.#call, this.#method, target, messageBytes);
    if (isStatus(destination)) {
      this.#fail(destination);
      return;
    }
    this.#target = target;
    this.#destination = destination;
    this.#call.limit(destination.timeoutMs);
    const request = { path: this.#method.upstreamPath, metadata: requestMetadata(this.#call.rawHeaders) };
    this.#lane = new Lane(this.#call, destination.open(), request, this);
    this.#lane.start();
  }

  /** A later message has to be for the same instance, and its client still be let in. */
  #check(target: Target | undefined, messageBytes: number): Status | undefined {
    const destination = this.#router.resolve(this.#call, this.#method, target, messageBytes);
    if (isStatus(destination)) return destination;
    if (target === undefined || this.#target === undefined) return undefined;
    // By model or at random, the same target may well mean another instance each time.
    const isSame = sameTarget(target, this.#target) || destination.key === this.#destination?.key;
    return isSame ? undefined : TWO_INSTANCES;
  }

  /** The refusal where too much is kept. */
  #hold(): Status | undefined {
    return this.#call.hold(this.#reader.partBytes, this.#kept === undefined ? 0 : this.#keptBytes);
  }

  #keep(frame: Buffer): void {
    this.#keptBytes += frame.length + SLICE_BYTES;
    this.#kept?.push(frame);
    if (this.#keptBytes <= MAX_KEPT_BYTES || this.#method.kind === 'unary') return;
    // Until an endpoint is found nothing can be dropped; so no more is read.
    if (this.#lane?.isOpen === true) this.#kept = undefined;
    else this.#call.stream.pause();
  }

  #write(frame: Buffer): void {
    if (this.#lane?.write(frame) === false) this.#call.stream.pause();
    else if (this.#call.stream.isPaused()) this.#call.stream.resume();
  }

  #pass(bytes: Buffer): void {
    if (!this.#call.write(bytes)) this.#lane?.pause();
  }

  #onRequestEnd(): void {
    if (this.#call.isOver || this.#isComplete) return;
    this.#isComplete = true;
    if (isCutShort(this.#reader)) this.#fail(CUT_SHORT);
    else if (this.#lane === undefined) this.#fail(NO_REQUEST);
    else if (this.#lane.isOpen) this.#lane.finish();
  }

  #fail(fault: Status): void {
    this.#call.end(fault);
    this.#lane?.cancel('client');
  }

  #takeHeld(): Buffer | undefined {
    const held = this.#held;
    this.#held = [];
    return held.length <= 1 ? held[0] : Buffer.concat(held);
  }
}

function isOneFrame(chunks: readonly Buffer[], bytes: number): boolean {
  const [first] = chunks;
  if (first === undefined || bytes < PREFIX_BYTES) return false;
  const prefix = first.length >= PREFIX_BYTES ? first : Buffer.concat(chunks);
  return prefix.readUInt32BE(1) === bytes - PREFIX_BYTES;
}

const TWO_MESSAGES = status('INVALID_ARGUMENT', 'A unary call has one message');
const TWO_INSTANCES = status('INVALID_ARGUMENT', 'All messages of this call have to be for one instance');
const CUT_SHORT = status('INVALID_ARGUMENT', 'The request cannot be decoded: it ends inside a message');
const NO_REQUEST = status('INVALID_ARGUMENT', 'The call has no message');
const NO_MESSAGE = endedBy('malformed_http', status('INTERNAL', 'The backend answered with no whole message'));
