import { isRetried } from '../upstream/outcome.ts';
import type { CallEnd, ClientCall } from './client-call.ts';
import { isStatus, type Status, status } from './codes.ts';
import { Patience } from './patience.ts';
import type { Route, Turn } from './route.ts';
import { formatTimeout } from './timeout.ts';
import { UpstreamCall, type UpstreamEvents } from './upstream-call.ts';
import { endedBy, type UpstreamEnd } from './upstream-end.ts';
import { upstreamHead } from './upstream-head.ts';

/** What comes of a lane. `onOpen` comes anew with each endpoint: all messages have to be written again. */
export interface LaneEvents extends UpstreamEvents {
  /** Whether all of it can be sent again: no byte of an answer has gone on, no message was dropped. */
  mayMove: () => boolean;
  /** What an upstream called its end may be none. */
  judge: (end: UpstreamEnd) => UpstreamEnd;
  /** Whether the endpoint owes an answer to what it was sent. */
  owes: () => boolean;
}

/** What each endpoint is asked. */
export interface LaneRequest {
  readonly path: string;
  /** Flat, as it may go upstream. */
  readonly metadata: readonly string[];
}

/** One upstream stream of a call, moved from endpoint to endpoint until one answers. */
export class Lane implements UpstreamEvents {
  readonly #call: ClientCall;
  readonly #route: Route;
  readonly #request: LaneRequest;
  readonly #events: LaneEvents;
  #turn: Turn | undefined;
  #upstream: UpstreamCall | undefined;
  #isOpen = false;
  /** This endpoint was asked a second time, for a connection that was going away. */
  #isAgain = false;
  #last: UpstreamEnd | undefined;
  #isOver = false;
  #patience: Patience | undefined;
  #isPaused = false;

  constructor(call: ClientCall, route: Route, request: LaneRequest, events: LaneEvents) {
    this.#call = call;
    this.#route = route;
    this.#request = request;
    this.#events = events;
  }

  /** Whether messages can be written now. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  start(): void {
    this.#route.next((turn) => {
      if (this.#isOver) return;
      if (isStatus(turn)) this.#finish(this.#last ?? endedBy('not_sent', turn));
      else this.#try(turn, false);
    });
  }

  write(frame: Buffer): boolean {
    this.#patience?.sent();
    return this.#upstream?.write(frame) ?? false;
  }

  finish(frame?: Buffer): void {
    if (frame !== undefined) this.#patience?.sent();
    this.#upstream?.finish(frame);
  }

  pause(): void {
    this.#isPaused = true;
    this.#upstream?.pause();
  }

  resume(): void {
    this.#isPaused = false;
    this.#upstream?.resume();
  }

  /** What came of this endpoint cannot be used. */
  fail(end: UpstreamEnd): void {
    if (this.#isOver || this.#turn === undefined) return;
    this.#upstream?.cancel();
    this.onEnd(end);
  }

  /** The call is over; no event comes after this. */
  cancel(why: CallEnd): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#patience?.stop();
    this.#upstream?.cancel();
    this.#turn?.ended(endedBy(why === 'deadline' ? 'deadline' : 'client_left', CANCELLED));
    this.#route.end();
  }

  onOpen(): void {
    this.#isOpen = true;
    this.#events.onOpen();
  }

  onHead(metadata: string[]): void {
    this.#events.onHead(metadata);
  }

  onData(chunk: Buffer): void {
    this.#patience?.heard();
    this.#turn?.heard?.();
    this.#events.onData(chunk);
  }

  onDrain(): void {
    this.#events.onDrain();
  }

  onEnd(said: UpstreamEnd): void {
    this.#isOpen = false;
    this.#patience?.stop();
    const end = this.#events.judge(said);
    const turn = this.#turn as Turn;
    const mayMove = this.#events.mayMove();
    if (mayMove && end.isUnseen && !this.#isAgain) {
      this.#try(turn, true);
      return;
    }
    this.#turn = undefined;
    turn.ended(end);
    if (!mayMove || !isRetried(end.cause)) {
      this.#finish(end);
      return;
    }
    // An upstream's own word says more to the client than a failed connection.
    if (this.#last?.isAnswer !== true || end.isAnswer) this.#last = end;
    this.start();
  }

  #try(turn: Turn, isAgain: boolean): void {
    this.#turn = turn;
    this.#isAgain = isAgain;
    this.#isPaused = false;
    if (turn.firstByteMs > 0 || turn.idleMs > 0) this.#patience = this.#patienceFor(turn);
    this.#upstream = new UpstreamCall(turn.sessions, requestHeaders(this.#call, this.#request, turn), this);
    this.#upstream.open();
  }

  /** Of a lane that we keep waiting ourselves nothing is owed. */
  #patienceFor(turn: Turn): Patience {
    const owes = (): boolean => !this.#isPaused && this.#events.owes();
    return new Patience(turn, owes, (end) => this.fail(end));
  }

  #finish(end: UpstreamEnd): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#route.end();
    this.#events.onEnd(end);
  }
}

const CANCELLED: Status = status('CANCELLED', 'The call is over');

function requestHeaders(call: ClientCall, { path, metadata }: LaneRequest, turn: Turn): string[] {
  const sent = [...metadata, 'te', 'trailers'];
  if (call.deadlineAt !== Number.POSITIVE_INFINITY) {
    sent.push('grpc-timeout', formatTimeout(Math.max(0, call.deadlineAt - performance.now())));
  }
  return upstreamHead(turn.sessions, turn.basePath + path, sent, turn.headers);
}
