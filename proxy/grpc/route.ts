import type { ClientCall } from './client-call.ts';
import type { Status } from './codes.ts';
import type { Method } from './methods.ts';
import type { Silences } from './patience.ts';
import type { Sessions } from './sessions.ts';
import type { Target } from './target.ts';
import type { UpstreamEnd } from './upstream-end.ts';

/** What the wire asks of routing and admission. */
export interface Router {
  /**
   * Where a message goes, by its target, or by the call's metadata where it has none; the status where it may not. Asked
   * for each message: a key that was taken back, or an instance that was renamed, ends a stream at its next message.
   * `messageBytes`: what it counts under limits; undefined where there is no message yet.
   */
  readonly resolve: (
    call: ClientCall,
    method: Method,
    target: Target | undefined,
    messageBytes: number | undefined,
  ) => Destination | Status;
}

export interface Destination {
  /** Messages of a stream with equal keys share one upstream stream. */
  readonly key: string;
  /** Of the whole call where the client set no deadline, in milliseconds; 0: none. */
  readonly timeoutMs: number;
  /** One upstream stream is about to be needed. */
  readonly open: () => Route;
}

/** The way of one upstream stream through the endpoints of its destination. */
export interface Route {
  /**
   * The next endpoint to try, or the status where none is left; `onTurn` is called once, at once or later, and not after
   * `end`.
   */
  readonly next: (onTurn: (turn: Turn | Status) => void) => void;
  /** Nothing more is asked; gives back all that is held. Once. */
  readonly end: () => void;
}

/** One try at one endpoint. */
export interface Turn extends Silences {
  readonly sessions: Sessions;
  /** Before the method's own path. */
  readonly basePath: string;
  /** Flat: what goes with the call to this backend, in place of a client's metadata of the same name. */
  readonly headers: readonly string[];
  /** A byte of an answer has come; undefined where nobody wants to know. */
  readonly heard: (() => void) | undefined;
  /** How it ended. Once. */
  readonly ended: (end: UpstreamEnd) => void;
}
