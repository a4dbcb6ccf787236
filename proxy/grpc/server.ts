import {
  createSecureServer,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
  type ServerOptions,
} from 'node:http2';
import { createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { errorBody } from '../errors.ts';
import type { TlsPair } from '../http/server.ts';

/** The gRPC door: HTTP/2 only, over TCP in clear text or over TLS. */
export interface GrpcServer {
  /** Listens, and is closed by `drain`. */
  readonly server: Server;
  /** New connections get this certificate. Only of a door with TLS. */
  readonly renew: (tls: TlsPair) => void;
  /** Takes no new calls, tells clients to go (GOAWAY), lets open calls end, cuts what is left after `timeoutMs`. */
  readonly drain: (timeoutMs: number) => Promise<void>;
}

/** `rawHeaders` is flat and keeps what `headers` joins. Never throws; a stream's errors come as its 'close' alone. */
export type OnStream = (
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  flags: number,
  rawHeaders: readonly string[],
) => void;

export interface GrpcServerOptions {
  readonly tls?: TlsPair | undefined;
  /** Of a connection, in milliseconds, spread over ±20 %; 0: no limit. */
  readonly maxConnectionAgeMs: number;
  readonly random: () => number;
}

const MB = 1024 * 1024;

/** What one connection may cost us. Node's own limits are for browsers: a client that cancels a third of its calls passes them. */
const OPTIONS: ServerOptions & { readonly strictSingleValueFields: boolean } = {
  settings: {
    // 1,024 at a time are promised. To Node a cancelled one counts until it is cleared away, and what a client begins in
    // its place in the same moment would be lost.
    maxConcurrentStreams: 2048,
    initialWindowSize: MB,
    maxHeaderListSize: 16_384,
  },
  maxHeaderListPairs: 128,
  // Rapid reset: 1,000 cancelled calls a second go on for ever, beyond that the connection ends.
  streamResetBurst: 4_000,
  streamResetRate: 1_000,
  // Streams beyond the limit are refused one by one; a client that opens 10,000 at once keeps those it may have.
  maxSessionRejectedStreams: 20_000,
  // Node counts those among the invalid frames.
  maxSessionInvalidFrames: 20_000,
  // MB that Node holds for a connection: answers not yet taken.
  maxSessionMemory: 256,
  // Metadata may say a name twice.
  strictSingleValueFields: false,
};

/** For all streams of a connection together. */
const CONNECTION_WINDOW_BYTES = 16 * MB;
/** For the first bytes of a connection. */
const HELLO_MS = 10_000;
const KEEP_ALIVE_MS = 60_000;
const AGE_SPREAD = 0.2;

export function createGrpcServer(onStream: OnStream, options: GrpcServerOptions): GrpcServer {
  const { tls } = options;
  const secure = tls === undefined ? undefined : createSecureServer({ ...OPTIONS, ...tls, handshakeTimeout: HELLO_MS });
  const http2: Http2Server = secure ?? createServer(OPTIONS);
  const sessions = new Set<ServerHttp2Session>();
  const sockets = new Set<Socket>();
  http2.on('session', (session: ServerHttp2Session) => follow(session, sessions, options));
  http2.on('stream', (stream: ServerHttp2Stream, headers, flags, rawHeaders) => {
    // Its 'close' says all; without a listener an error would end the process.
    stream.on('error', ignore);
    onStream(stream, headers, flags, rawHeaders as unknown as readonly string[]);
  });
  // A peer that breaks the protocol ends its own connection; Node has told it why.
  http2.on('sessionError', ignore);
  http2.on('unknownProtocol', refuseHttp1);
  const server = createTcpServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS }, (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    if (secure === undefined) sniff(socket, () => http2.emit('connection', socket));
    else secure.emit('connection', socket);
  });
  return {
    server,
    renew: (pair) => secure?.setSecureContext(pair),
    drain: (timeoutMs) => drain(server, sessions, sockets, timeoutMs),
  };
}

function follow(
  session: ServerHttp2Session,
  sessions: Set<ServerHttp2Session>,
  { maxConnectionAgeMs, random }: GrpcServerOptions,
): void {
  sessions.add(session);
  session.setLocalWindowSize(CONNECTION_WINDOW_BYTES);
  const ageMs = maxConnectionAgeMs * (1 + AGE_SPREAD * (2 * random() - 1));
  const timer = maxConnectionAgeMs === 0 ? undefined : setTimeout(() => session.close(), ageMs);
  session.once('close', () => {
    clearTimeout(timer);
    sessions.delete(session);
  });
}

/** Hands a connection on once its first bytes are HTTP/2's. Node would answer HTTP/1 with frames. */
function sniff(socket: Socket, accept: () => void): void {
  const timer = setTimeout(() => socket.destroy(), HELLO_MS);
  socket.on('error', ignore);
  socket.once('close', () => clearTimeout(timer));
  socket.once('readable', () => {
    clearTimeout(timer);
    const hello: Buffer | null = socket.read();
    if (hello === null) {
      socket.destroy();
    } else if (PREFACE.subarray(0, hello.length).equals(hello.subarray(0, PREFACE.length))) {
      socket.unshift(hello);
      socket.off('error', ignore);
      accept();
    } else refuseHttp1(socket);
  });
}

function ignore(): void {}

const PREFACE = Buffer.from('PRI');

function refuseHttp1(socket: Socket): void {
  const body = errorBody('bad_request', 'This port speaks gRPC, over HTTP/2; HTTP/1 has a port of its own');
  socket.on('error', ignore);
  socket.end(
    `HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n` +
      `connection: close\r\n\r\n${body.toString()}`,
  );
}

function drain(
  server: Server,
  sessions: ReadonlySet<ServerHttp2Session>,
  sockets: ReadonlySet<Socket>,
  timeoutMs: number,
): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      for (const session of sessions) session.destroy();
      for (const socket of sockets) socket.destroy();
    }, timeoutMs);
    server.close(() => {
      clearTimeout(timer);
      resolve();
    });
    for (const session of sessions) session.close();
  });
}
