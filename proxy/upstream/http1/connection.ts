import type { LookupFunction } from 'node:net';
import type { Readable } from 'node:stream';
import type { Cause } from '../outcome.ts';

/** All that decides whether an open connection may be used for a call. Equal settings share connections. */
export interface ConnectionSettings {
  /** scheme://host:port */
  readonly origin: string;
  /** 0: as long as the system takes. */
  readonly connectMs: number;
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  readonly serverName?: string | undefined;
  /** Refuses an address that a name must not resolve to. */
  readonly lookup: LookupFunction;
}

/** What goes out. */
export interface Outgoing {
  readonly method: string;
  readonly path: string;
  /** Flat: name, value, … Without host, connection, content-length, transfer-encoding: those are the connection's. */
  readonly headers: readonly string[];
  readonly body: Buffer | StreamedBody | undefined;
}

/** A body that can be sent once: what was held of it, then the rest as it comes. */
export interface StreamedBody {
  /** Whether a byte of it has been taken: from then on it cannot be sent again. */
  readonly started: () => boolean;
  /** When bytes of it came last, in milliseconds of the monotonic clock; -Infinity: none was asked for. */
  readonly cameAt: () => number;
  /** Its length where the client gave one; without, it goes chunked. */
  readonly length: number | undefined;
  readonly open: () => Readable;
}

/**
 * Told of the answer. `onEnd` or `onError` comes last, once; nothing comes after `abort`. A `cause` is given where more is
 * known of what it came to than the status or the error says.
 */
export interface Incoming {
  /** The final head (1xx are skipped). Flat: name, value, …; names in lower case, values as latin1. */
  onHead(status: number, headers: string[], cause?: Cause): void;
  /** Bytes of the body, without framing; they stay as they are. */
  onData(chunk: Buffer): void;
  onEnd(): void;
  /** `code` is the system's (ECONNREFUSED, ENOTFOUND, those of TLS, ECONNRESET, EPIPE) or one of `ClientErrorCode`. */
  onError(error: Error, cause?: Cause): void;
}

/** One call under way. */
export interface Sending {
  /** `onData` and `onEnd` come no more until `resume`. */
  pause(): void;
  resume(): void;
  /** Closes the connection at once, also one that is still being made. */
  abort(): void;
  /** Any byte of an answer came. */
  readonly answerBegan: boolean;
  /** It went out on a connection that an earlier call had used. */
  readonly isReused: boolean;
}

/** The connections to one endpoint, one call on each at a time. */
export interface Connections {
  readonly settings: ConnectionSettings;
  /** On a kept connection where one is idle (the one used last), else on a new one. `fresh`: never on a kept one. */
  send(call: Outgoing, incoming: Incoming, fresh?: boolean): Sending;
  /** Takes no new call but a `fresh` one; idle connections close, those under way end as they would and then close. */
  close(): void;
}

/** What this client itself finds wrong. CUT: closed, or ended, before the answer was whole. */
export type ClientErrorCode =
  | 'ERR_UPSTREAM_CONNECT_TIMEOUT'
  | 'ERR_UPSTREAM_MALFORMED'
  | 'ERR_UPSTREAM_CUT'
  | 'ERR_UPSTREAM_BODY_LENGTH'
  | 'ERR_UPSTREAM_CLOSED'
  | 'ERR_INVALID_HEADER';
