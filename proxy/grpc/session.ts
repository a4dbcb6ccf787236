import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type ClientSessionOptions,
  connect,
  constants,
} from 'node:http2';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { ConnectionSettings } from '../upstream/http1/connection.ts';

/** The clocks of connections to upstreams, in milliseconds; a test makes them quick. */
export interface SessionTimes {
  /** Between two looks at a quiet connection. */
  readonly pingMs: number;
  /** For the answer to a ping; a connection without it is lost. */
  readonly pingTimeoutMs: number;
  /** A connection that no call used for so long is closed. */
  readonly idleMs: number;
}

export const SESSION_TIMES: SessionTimes = { pingMs: 15_000, pingTimeoutMs: 5_000, idleMs: 600_000 };

/** How to reach an endpoint by gRPC. */
export interface SessionSettings extends ConnectionSettings {
  /** A Unix socket to connect to in place of the origin's host and port. */
  readonly socketPath?: string | undefined;
}

/** One HTTP/2 connection to an endpoint. */
export interface Session {
  readonly http2: ClientHttp2Session;
  /** Open on it. */
  readonly streams: Set<ClientHttp2Stream>;
  /** Streams that may be open on it, as the remote said; 0 until it has said so. */
  limit: number;
  /** When it was opened, or a stream on it last: monotonic, in milliseconds. */
  usedAt: number;
  /** Streams that were cancelled, less what the remote has forgiven since `resetsAt`: monotonic, in milliseconds. */
  resets: number;
  resetsAt: number;
}

/** What its owner wants to hear. */
export interface SessionEvents {
  /** Once, before `onReady`. */
  readonly onConnected: () => void;
  /** Streams can be opened; again when the remote changes how many. */
  readonly onReady: () => void;
  /** Once. `error` says why where it never was ready. */
  readonly onClose: (error: Error | undefined) => void;
  /** The remote wants fewer pings. */
  readonly onTooManyPings: () => void;
}

/** For answers of 20 MB: what may be on its way for one stream, and for all of a connection. */
const STREAM_WINDOW_BYTES = 1024 * 1024;
const CONNECTION_WINDOW_BYTES = 16 * 1024 * 1024;
/** Node counts what it still has to write; a new stream beyond this is refused. */
const SESSION_MEMORY_MB = 256;

const KEEP_ALIVE_MS = 30_000;

const OPTIONS: ClientSessionOptions & { readonly strictSingleValueFields: boolean } = {
  settings: { enablePush: false, initialWindowSize: STREAM_WINDOW_BYTES, maxHeaderListSize: 32_768 },
  maxSessionMemory: SESSION_MEMORY_MB,
  maxDeflateDynamicTableSize: 4096,
  // Metadata may say a name twice.
  strictSingleValueFields: false,
};

/** Begins to connect. A peer that does not speak HTTP/2 within `connectMs` (0: no limit) is no peer. */
export function openSession(settings: SessionSettings, times: SessionTimes, events: SessionEvents): Session {
  const socket = openSocket(settings);
  const http2 = connect(settings.origin, { ...OPTIONS, createConnection: () => socket });
  const now = performance.now();
  const session: Session = { http2, streams: new Set(), limit: 0, usedAt: now, resets: 0, resetsAt: now };
  let error: Error | undefined;
  let stopPings: (() => void) | undefined;
  const { connectMs } = settings;
  const giveUp = (): void => void http2.destroy(new Error(`no HTTP/2 connection within ${connectMs} ms`));
  const late = connectMs === 0 ? undefined : setTimeout(giveUp, connectMs);
  http2.on('connect', () => http2.setLocalWindowSize(CONNECTION_WINDOW_BYTES));
  http2.on('remoteSettings', ({ maxConcurrentStreams = Number.POSITIVE_INFINITY }) => {
    clearTimeout(late);
    session.limit = maxConcurrentStreams;
    if (stopPings === undefined) {
      stopPings = startPings(session, socket, times);
      events.onConnected();
    }
    events.onReady();
  });
  http2.on('goaway', (code: number, lastStreamId: number) => {
    if (code === constants.NGHTTP2_ENHANCE_YOUR_CALM) events.onTooManyPings();
    // Node destroys the session now if there is a code, all streams alike; those that the remote never saw may be sent again.
    if (code !== constants.NGHTTP2_NO_ERROR) refuseAfter(session, lastStreamId);
  });
  http2.on('error', (cause: Error) => {
    error = cause;
  });
  http2.on('close', () => {
    clearTimeout(late);
    stopPings?.();
    events.onClose(session.limit === 0 ? (error ?? new Error('the connection was closed')) : undefined);
  });
  return session;
}

function refuseAfter({ streams }: Session, lastStreamId: number): void {
  for (const stream of streams) {
    if (stream.id === undefined || stream.id > lastStreamId) stream.close(constants.NGHTTP2_REFUSED_STREAM);
  }
}

function openSocket(settings: SessionSettings): Socket {
  const socket = settings.origin.startsWith('https:') ? openTls(settings) : openTcp(settings);
  socket.setNoDelay(true);
  // For connections that drain, on which Node sends no pings.
  socket.setKeepAlive(true, KEEP_ALIVE_MS);
  return socket;
}

function openTcp({ origin, lookup, socketPath }: SessionSettings): Socket {
  if (socketPath !== undefined) return connectTcp({ path: socketPath });
  const { host, port } = addressOf(origin, 80);
  return connectTcp({ host, port, lookup });
}

function openTls({ origin, lookup, ca, cert, key, serverName }: SessionSettings): Socket {
  const { host, port } = addressOf(origin, 443);
  const servername = serverName ?? (isIP(host) === 0 ? host : undefined);
  const socket = connectTls({
    ...{ host, port, lookup, ALPNProtocols: ['h2'] },
    ...(servername !== undefined && { servername }),
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
  });
  socket.once('secureConnect', () => {
    if (socket.alpnProtocol !== 'h2') socket.destroy(new Error('the peer speaks TLS but not HTTP/2 (ALPN h2)'));
  });
  return socket;
}

function addressOf(origin: string, defaultPort: number): { host: string; port: number } {
  const { hostname, port } = new URL(origin);
  return { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port || defaultPort) };
}

/** A peer that vanished says nothing: what is quiet is asked, and what does not answer is given up. */
function startPings(session: Session, socket: Socket, { pingMs, pingTimeoutMs, idleMs }: SessionTimes): () => void {
  const { http2 } = session;
  let seenBytes = socket.bytesRead;
  let late: NodeJS.Timeout | undefined;
  const timer = setInterval(() => {
    if (session.streams.size === 0 && performance.now() - session.usedAt > idleMs) return http2.close();
    const bytes = socket.bytesRead;
    const isQuiet = bytes === seenBytes;
    seenBytes = bytes;
    if (!isQuiet || http2.closed || http2.destroyed) return;
    clearTimeout(late);
    late = setTimeout(() => {
      http2.destroy(new Error(`no answer to a ping within ${pingTimeoutMs} ms`));
    }, pingTimeoutMs);
    http2.ping(() => {
      clearTimeout(late);
      // The answer itself makes no connection busy.
      seenBytes = socket.bytesRead;
    });
  }, pingMs);
  timer.unref();
  return () => {
    clearInterval(timer);
    clearTimeout(late);
  };
}
