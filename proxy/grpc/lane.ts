import { withSettings } from '../http/headers.ts';
import { isRetried } from '../upstream/outcome.ts';
import type { CallEnd, ClientCall } from './client-call.ts';
import { isStatus, type Status, status } from './codes.ts';

import type { Route, Turn } from './route.ts';
import { formatTimeout } from './timeout.ts';
import { UpstreamCall, type UpstreamEvents } from './upstream-call.ts';
import { endedBy, type UpstreamEnd } from './upstream-end.ts';

/** What comes of a lane. `onOpen` comes anew with each endpoint: all messages have to be written again. */
export interface LaneEvents extends UpstreamEvents {
  /** Whether all of it can be sent again: no byte of an answer has gone on, no message was dropped. */
  mayMove: () => boolean;
  /** What an upstream called its end may be none. */
  judge: (end: UpstreamEnd) => UpstreamEnd;
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
  #firstByte: NodeJS.Timeout | undefined;
  #isAnswered = false;

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
    this.#awaitFirstByte();
    return this.#upstream?.write(frame) ?? false;
  }

  finish(frame?: Buffer): void {
    if (frame !== undefined) this.#awaitFirstByte();
    this.#upstream?.finish(frame);
  }

  pause(): void {
    this.#upstream?.pause();
  }

  resume(): void {
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
    clearTimeout(this.#firstByte);
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
    if (!this.#isAnswered) {
      this.#isAnswered = true;
      clearTimeout(this.#firstByte);
    }
    this.#events.onData(chunk);
  }

  onDrain(): void {
    this.#events.onDrain();
  }

  onEnd(said: UpstreamEnd): void {
    this.#isOpen = false;
    clearTimeout(this.#firstByte);
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
    this.#isAnswered = false;
    this.#firstByte = undefined;
    this.#upstream = new UpstreamCall(turn.sessions, requestHeaders(this.#call, this.#request, turn), this);
    this.#upstream.open();
  }

  #awaitFirstByte(): void {
    const ms = this.#turn?.firstByteMs ?? 0;
    if (ms === 0 || this.#firstByte !== undefined || this.#isAnswered) return;
    this.#firstByte = setTimeout(() => {
      this.fail(endedBy('first_byte_timeout', status('UNAVAILABLE', `The backend gave no answer within ${ms} ms`)));
    }, ms);
  }

  #finish(end: UpstreamEnd): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#route.end();
    this.#events.onEnd(end);
  }
}

const CANCELLED: Status = status('CANCELLED', 'The call is over');

function requestHeaders(call: ClientCall, request: LaneRequest, { sessions, headers }: Turn): string[] {
  const scheme = sessions.settings.origin.startsWith('https:') ? 'https' : 'http';
  const metadata = [...request.metadata, 'te', 'trailers'];
  if (call.deadlineAt !== Number.POSITIVE_INFINITY) {
    metadata.push('grpc-timeout', formatTimeout(Math.max(0, call.deadlineAt - performance.now())));
  }
  return [
    ...[':method', 'POST', ':scheme', scheme, ':authority', sessions.authority, ':path', request.path],
    ...withSettings(metadata, headers),
  ];
}
