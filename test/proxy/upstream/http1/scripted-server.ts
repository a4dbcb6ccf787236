import { once } from 'node:events';
import { type AddressInfo, createServer, type LookupFunction, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';
import type {
  ConnectionSettings,
  Connections,
  Incoming,
  Outgoing,
  Sending,
} from '../../../../proxy/upstream/http1/connection.ts';
import { createConnections } from '../../../../proxy/upstream/http1/connections.ts';
import { eventually } from '../../../support/eventually.ts';

/** A server that reads what comes and answers as its test says, byte by byte. */
export interface ScriptedServer {
  readonly url: string;
  readonly port: number;
  /** Every connection that was made, in order. */
  readonly sockets: Socket[];
  /** What came on each, as latin1. */
  readonly received: string[];
  /** Connections that are open now. */
  readonly open: () => number;
}

/** `onRequest`: each time that bytes came, with all that has come on this connection since it last took them. */
export async function startServer(
  onRequest: (socket: Socket, text: string, connection: number) => void,
): Promise<ScriptedServer> {
  const sockets: Socket[] = [];
  const received: string[] = [];
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    const connection = sockets.push(socket) - 1;
    received.push('');
    socket.on('error', () => undefined);
    socket.on('data', (bytes) => {
      received[connection] += bytes.toString('latin1');
      onRequest(socket, received[connection] ?? '', connection);
    });
    socket.on('end', () => socket.end());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const open = (): number => sockets.filter(({ destroyed }) => !destroyed).length;
  return { url: `http://127.0.0.1:${port}`, port, sockets, received, open };
}

/** To be called for names only; the tests' servers are addresses. */
export const noLookup: LookupFunction = (name, _, callback) =>
  callback(Object.assign(new Error(name), { code: 'ENOTFOUND' }), '');

export function connectionsTo(origin: string, settings: Partial<ConnectionSettings> = {}): Connections {
  const made = createConnections({ origin, connectMs: 5_000, lookup: noLookup, ...settings });
  onTestFinished(() => made.close());
  return made;
}

export function get(path = '/'): Outgoing {
  return { method: 'GET', path, headers: [], body: undefined };
}

export function post(body: Outgoing['body']): Outgoing {
  return { method: 'POST', path: '/', headers: ['content-type', 'text/plain'], body };
}

/** What a call came to, as far as it has. */
export class Reading implements Incoming {
  status = 0;
  headers: string[] = [];
  text = '';
  chunks = 0;
  error: (Error & { code?: string }) | undefined;
  isOver = false;
  /** How often each was called, to find what is told twice or after the end. */
  readonly told: string[] = [];
  sending: Sending | undefined;
  readonly over: Promise<this>;
  readonly #resolve: (over: this) => void;

  constructor() {
    const { promise, resolve } = Promise.withResolvers<this>();
    this.over = promise;
    this.#resolve = resolve;
  }

  onHead(status: number, headers: string[]): void {
    this.told.push('head');
    this.status = status;
    this.headers = headers;
  }

  onData(chunk: Buffer): void {
    if (this.told.at(-1) !== 'data') this.told.push('data');
    this.chunks += 1;
    this.text += chunk.toString('latin1');
  }

  onEnd(): void {
    this.told.push('end');
    this.isOver = true;
    this.#resolve(this);
  }

  onError(error: Error): void {
    this.told.push('error');
    this.error = error;
    this.isOver = true;
    this.#resolve(this);
  }
}

/** Sends it; `over` of what it gives resolves at the end. */
export function start(
  connections: Connections,
  outgoing: Outgoing = get(),
  fresh = false,
): Reading & { sending: Sending } {
  const reading = new Reading();
  reading.sending = connections.send(outgoing, reading, fresh);
  return reading as Reading & { sending: Sending };
}

/** The whole answer, or the code of the error. */
export async function ask(connections: Connections, outgoing: Outgoing = get(), fresh = false): Promise<string> {
  const { status, text, error } = await start(connections, outgoing, fresh).over;
  return error === undefined ? `${status} ${text}` : String(error.code);
}

export function ok(body: string, ...headers: string[]): string {
  return `HTTP/1.1 200 OK\r\n${[`content-length: ${body.length}`, ...headers].join('\r\n')}\r\n\r\n${body}`;
}

/** Waits until the number has been the same for a while, above 0, and gives it. */
export async function settled(number: () => number): Promise<number> {
  let before = 0;
  let same = 0;
  const ask = (): boolean => {
    same = number() === before && before > 0 ? same + 1 : 0;
    before = number();
    return same >= 5;
  };
  await eventually('it comes to rest', ask, { intervalMs: 50 });
  return before;
}
