import {
  createSecureServer,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { AddressInfo, Socket } from 'node:net';
import { connect, createServer as createTcpServer } from 'node:net';
import type { SessionSettings } from '../../../proxy/grpc/session.ts';
import { guardedLookup } from '../../../proxy/upstream/guarded-lookup.ts';

/** A raw HTTP/2 server whose every stream a test answers itself. */
export interface Peer {
  readonly origin: string;
  readonly port: number;
  /** Sessions that are open. */
  readonly sessions: Set<ServerHttp2Session>;
  /** How many there ever were. */
  readonly accepted: () => number;
  readonly close: () => Promise<void>;
}

export async function startPeer(
  onStream: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void,
  { port = 0, maxStreams, tls }: { port?: number; maxStreams?: number; tls?: { cert: string; key: string } } = {},
): Promise<Peer> {
  const settings = maxStreams === undefined ? {} : { settings: { maxConcurrentStreams: maxStreams } };
  const server = (
    tls === undefined ? createServer(settings) : createSecureServer({ ...settings, ...tls })
  ) as Http2Server;
  const sessions = new Set<ServerHttp2Session>();
  let accepted = 0;
  server.on('session', (session) => {
    accepted += 1;
    sessions.add(session);
    session.on('error', () => {});
    session.on('close', () => sessions.delete(session));
  });
  server.on('stream', (stream, headers) => {
    stream.on('error', () => {});
    onStream(stream, headers);
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const { port: bound } = server.address() as AddressInfo;
  return {
    origin: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${bound}`,
    port: bound,
    sessions,
    accepted: () => accepted,
    close: () => {
      for (const session of sessions) session.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

/** How a test reaches a peer. */
export function settingsOf(origin: string, more: Partial<SessionSettings> = {}): SessionSettings {
  return { origin, connectMs: 2_000, lookup: guardedLookup(() => undefined), ...more };
}

/** Passes bytes on until told to swallow them, as a network does whose other end has vanished. */
export async function startBlackHole(
  port: number,
): Promise<{ origin: string; swallow: () => void; close: () => void }> {
  let isOpen = true;
  const sockets = new Set<Socket>();
  const server = createTcpServer((near) => {
    const far = connect(port, '127.0.0.1');
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      from.on('error', () => {});
      from.on('data', (bytes) => {
        if (isOpen) to.write(bytes);
      });
      from.on('close', () => {
        if (isOpen) to.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    swallow: () => {
      isOpen = false;
    },
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}
