import type { CallEnd, ClientCall } from './client-call.ts';
import { CODES, isStatus, type Status, status } from './codes.ts';
import { openEnvelope } from './envelope.ts';
import { createFrameReader, type FrameReader, isCutShort, readFrames } from './frames.ts';
import { requestMetadata } from './metadata.ts';
import type { Method } from './methods.ts';
import type { Router } from './route.ts';
import { type Slot, Strand, type StrandOwner } from './strand.ts';
import { endedBy, type UpstreamEnd } from './upstream-end.ts';

/** How far requests may run ahead of answers: in messages, and in bytes that are kept. */
const MAX_AHEAD = 1024;
const MAX_KEPT_BYTES = 8 * 1024 * 1024;
/** For a client that waits for initial metadata before it says anything. */
const HEAD_MS = 50;

/**
 * Forwards a stream of which each message says where it goes: one upstream stream to each destination, answers in the
 * order of requests. Ends the call, whatever happens. `maxMessageBytes`: of one request, and of one answer.
 */
export function forwardOnManyLanes(call: ClientCall, method: Method, router: Router, maxMessageBytes: number): void {
  new ManyLanes(call, method, router, maxMessageBytes).start();
}

class ManyLanes implements StrandOwner {
  readonly call: ClientCall;
  readonly request: { readonly path: string; readonly metadata: readonly string[] };
  readonly maxMessageBytes: number;
  readonly #method: Method;
  readonly #router: Router;
  readonly #reader: FrameReader;
  readonly #strands = new Map<string, Strand>();
  /** In the order of requests; those before `#first` are done. */
  #order: Slot[] = [];
  #first = 0;
  #keptBytes = 0;
  #isBlocked = false;
  isComplete = false;

  constructor(call: ClientCall, method: Method, router: Router, maxMessageBytes: number) {
    this.call = call;
    this.#method = method;
    this.request = { path: method.upstreamPath, metadata: uncompressed(requestMetadata(call.rawHeaders)) };
    this.maxMessageBytes = maxMessageBytes;
    this.#router = router;
    this.#reader = createFrameReader(maxMessageBytes);
  }

  start(): void {
    const { call } = this;
    const head = setTimeout(() => call.head(PLAIN_HEAD), HEAD_MS);
    call.onLeave = (why) => this.#cancel(why);
    call.onDrain = () => {
      this.#isBlocked = false;
      this.settle();
    };
    call.stream.once('close', () => clearTimeout(head));
    const onFrame = (frame: Buffer): void => this.#onFrame(frame);
    call.stream.on('data', (chunk: Buffer) => {
      clearTimeout(head);
      // What comes after a fault of the client is nobody's.
      if (call.isOver || this.isComplete) return;
      const fault = readFrames(this.#reader, chunk, onFrame) ?? this.#hold();
      if (fault !== undefined) this.#refuse(fault);
      this.pace();
    });
    call.stream.on('end', () => this.#onRequestEnd());
  }

  /** Writes what is due to the client: answers up to the first that is missing, then the end if it is reached. */
  settle(): void {
    const due: Buffer[] = [];
    let slot = this.#order[this.#first];
    while (slot?.answer !== undefined) {
      due.push(slot.answer);
      slot.owner?.release(slot.answer.length);
      this.#first += 1;
      slot = this.#order[this.#first];
    }
    if (this.#first > 512 || this.#first === this.#order.length) {
      this.#order.splice(0, this.#first);
      this.#first = 0;
    }
    if (due.length > 0 && !this.call.write(joined(due))) this.#isBlocked = true;
    if (slot?.failure !== undefined) this.#end(slot.failure);
    else if (slot === undefined && this.isComplete) this.#endIfDone();
    this.pace();
  }

  /** Stops and starts reading on both sides. */
  pace(): void {
    if (this.call.isOver) return;
    const { stream } = this.call;
    const ahead = this.#order.length - this.#first;
    let isFull = ahead >= MAX_AHEAD || this.#keptBytes >= MAX_KEPT_BYTES;
    for (const strand of this.#strands.values()) {
      strand.pace(this.#isBlocked);
      isFull ||= strand.isFull;
    }
    if (isFull !== stream.isPaused()) {
      if (isFull) stream.pause();
      else stream.resume();
    }
  }

  dropKept(slot: Slot): void {
    if (slot.request === undefined) return;
    this.#keptBytes -= slot.request.length;
    slot.request = undefined;
    this.#hold();
  }

  /** The refusal where too much is kept. */
  #hold(): Status | undefined {
    return this.call.hold(this.#reader.partBytes, this.#keptBytes);
  }

  laneEnded(end: UpstreamEnd, waiting: readonly Slot[]): void {
    const [first] = waiting;
    if (first !== undefined) first.failure = end;
    else if (end.code !== CODES.OK) this.#order.push(failedSlot(end));
    this.settle();
  }

  #onFrame(frame: Buffer): void {
    if (this.call.isOver || this.isComplete) return;
    const opened = openEnvelope(frame, this.#method.requestName);
    const destination = isStatus(opened)
      ? opened
      : this.#router.resolve(this.call, this.#method, opened.target, frame.length);
    if (isStatus(opened) || isStatus(destination)) {
      this.#refuse(destination as Status);
      return;
    }
    let strand = this.#strands.get(destination.key);
    if (strand === undefined || strand.isOver) {
      strand = new Strand(this, destination);
      this.#strands.set(destination.key, strand);
      this.call.limit(destination.timeoutMs);
    }
    const slot: Slot = { request: opened.frame, answer: undefined, failure: undefined, owner: strand };
    this.#keptBytes += opened.frame.length;
    this.#order.push(slot);
    strand.send(slot);
  }

  /** The client's own fault: it is told after the answers it is owed. */
  #refuse(fault: Status): void {
    if (this.isComplete) return;
    this.isComplete = true;
    this.#order.push(failedSlot(endedBy('client_left', fault)));
    this.settle();
  }

  #onRequestEnd(): void {
    if (this.call.isOver || this.isComplete) return;
    if (isCutShort(this.#reader)) this.#refuse(CUT_SHORT);
    else if (this.#strands.size === 0) this.#refuse(EMPTY);
    this.isComplete = true;
    for (const strand of this.#strands.values()) strand.finish();
    this.settle();
  }

  /** All is answered; the statuses of the lanes are still to come. */
  #endIfDone(): void {
    let last: UpstreamEnd | undefined;
    for (const strand of this.#strands.values()) {
      if (strand.end === undefined) return;
      last = strand.end;
    }
    if (last !== undefined) this.#end(last);
  }

  #end(end: UpstreamEnd): void {
    if (this.call.isOver) return;
    this.call.end(end);
    this.#cancel('client');
  }

  #cancel(why: CallEnd): void {
    for (const strand of this.#strands.values()) strand.cancel(why);
    this.#order = [];
    this.#first = 0;
  }
}

function failedSlot(failure: UpstreamEnd): Slot {
  return { request: undefined, answer: undefined, failure, owner: undefined };
}

/** Lanes may compress each in its own way, and the client is told of one way only. */
function uncompressed(metadata: readonly string[]): string[] {
  return metadata.filter((_, index) => {
    const name = metadata[index - (index % 2)];
    return name !== 'grpc-encoding' && name !== 'grpc-accept-encoding';
  });
}

/** In one piece; without a copy where they came in one. */
function joined(frames: readonly Buffer[]): Buffer {
  const [first] = frames as readonly [Buffer];
  let end = first.byteOffset;
  for (const frame of frames) {
    if (frame.buffer !== first.buffer || frame.byteOffset !== end) return Buffer.concat(frames);
    end += frame.length;
  }
  return Buffer.from(first.buffer, first.byteOffset, end - first.byteOffset);
}

const PLAIN_HEAD = ['content-type', 'application/grpc'];
const EMPTY = status('INVALID_ARGUMENT', 'Empty stream');
const CUT_SHORT = status('INVALID_ARGUMENT', 'The request cannot be decoded: it ends inside a message');
