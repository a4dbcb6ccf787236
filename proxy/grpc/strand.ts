import type { CallEnd, ClientCall } from './client-call.ts';
import { CODES, status } from './codes.ts';
import { createFrameReader, type FrameReader, readFrames, resetFrames } from './frames.ts';
import { Lane, type LaneEvents, type LaneRequest } from './lane.ts';
import type { Destination } from './route.ts';
import { endedBy, type UpstreamEnd } from './upstream-end.ts';

/** Answers of one strand that wait for another's; then it is read no more. */
const MAX_WAITING_BYTES = 1024 * 1024;

/** A message on its way. */
export interface Slot {
  /** Kept while it may have to be sent again. */
  request: Buffer | undefined;
  answer: Buffer | undefined;
  /** Why there will be no answer. */
  failure: UpstreamEnd | undefined;
  readonly owner: Strand | undefined;
}

/** The stream that a strand is a part of. */
export interface StrandOwner {
  readonly call: ClientCall;
  readonly request: LaneRequest;
  readonly maxMessageBytes: number;
  /** The client has sent its last message. */
  readonly isComplete: boolean;
  /** Answers have come. */
  settle: () => void;
  /** Something is full no longer. */
  pace: () => void;
  /** It will not be sent again. */
  dropKept: (slot: Slot) => void;
  /** No more answers of a strand; `waiting` are those it owes. */
  laneEnded: (end: UpstreamEnd, waiting: readonly Slot[]) => void;
}

/** The part of the stream that goes to one destination. */
export class Strand implements LaneEvents {
  readonly #all: StrandOwner;
  readonly #lane: Lane;
  readonly #reader: FrameReader;
  /** Sent or to be sent, without an answer. */
  #waiting: Slot[] = [];
  #hasAnswered = false;
  #hasTooMany = false;
  #waitingBytes = 0;
  #isPaused = false;
  #isStarted = false;
  isFull = false;
  end: UpstreamEnd | undefined;

  constructor(all: StrandOwner, destination: Destination) {
    this.#all = all;
    this.#reader = createFrameReader(all.maxMessageBytes);
    this.#lane = new Lane(all.call, destination.open(), all.request, this);
  }

  get isOver(): boolean {
    return this.end !== undefined;
  }

  send(slot: Slot): void {
    this.#waiting.push(slot);
    if (!this.#isStarted) {
      this.#isStarted = true;
      this.#lane.start();
    } else if (this.#lane.isOpen) this.#write(slot);
  }

  finish(): void {
    if (this.#lane.isOpen) this.#lane.finish();
  }

  cancel(why: CallEnd): void {
    this.#lane.cancel(why);
  }

  /** An answer has gone to the client. */
  release(bytes: number): void {
    this.#waitingBytes -= bytes;
  }

  pace(isBlocked: boolean): void {
    const isPaused = isBlocked || this.#waitingBytes > MAX_WAITING_BYTES;
    if (isPaused === this.#isPaused) return;
    this.#isPaused = isPaused;
    if (isPaused) this.#lane.pause();
    else this.#lane.resume();
  }

  onOpen(): void {
    resetFrames(this.#reader);
    this.isFull = false;
    this.#isPaused = false;
    for (const slot of this.#waiting) this.#write(slot);
    if (this.#all.isComplete) this.#lane.finish();
  }

  onHead(metadata: string[]): void {
    this.#all.call.head(metadata);
  }

  onData(chunk: Buffer): void {
    this.#hasTooMany = false;
    const fault = readFrames(this.#reader, chunk, this.#onAnswer);
    if (fault !== undefined) this.#lane.fail(endedBy('malformed_http', fault));
    else if (this.#hasTooMany) this.#lane.fail(TOO_MANY);
    else this.#all.settle();
  }

  onDrain(): void {
    this.isFull = false;
    this.#all.pace();
  }

  mayMove(): boolean {
    return !this.#hasAnswered && !this.#all.call.isOver;
  }

  owes(): boolean {
    return this.#waiting.length > 0;
  }

  judge(end: UpstreamEnd): UpstreamEnd {
    return end.isAnswer && end.code === CODES.OK && this.#waiting.length > 0 ? TOO_FEW : end;
  }

  onEnd(end: UpstreamEnd): void {
    if (this.end !== undefined) return;
    this.end = end;
    this.isFull = false;
    this.#all.laneEnded(end, this.#waiting);
  }

  readonly #onAnswer = (frame: Buffer): void => {
    const slot = this.#waiting.shift();
    if (slot === undefined) {
      this.#hasTooMany = true;
      return;
    }
    if (!this.#hasAnswered) {
      this.#hasAnswered = true;
      for (const each of this.#waiting) this.#all.dropKept(each);
    }
    this.#all.dropKept(slot);
    slot.answer = frame;
    this.#waitingBytes += frame.length;
  };

  #write(slot: Slot): void {
    if (!this.#lane.write(slot.request as Buffer)) this.isFull = true;
    if (this.#hasAnswered) this.#all.dropKept(slot);
  }
}

const TOO_FEW = endedBy('malformed_http', status('INTERNAL', 'The backend answered fewer messages than it was sent'));
const TOO_MANY = endedBy('malformed_http', status('INTERNAL', 'The backend answered more messages than it was sent'));
