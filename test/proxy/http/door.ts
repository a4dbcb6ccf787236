import { connect, createServer, type Server, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';
import type { ProgramLog } from '../../../program/log.ts';
import { canonicalJson } from '../../../proxy/config/encode.ts';
import { type ProxyOptions, startProxy } from '../../../proxy/start.ts';
import { eventually } from '../../support/eventually.ts';
import { type FakeLlm, startFakeLlm } from '../../support/fake-llm.ts';

/** A proxy in this process, on free ports of 127.0.0.1. */
export interface Door {
  readonly url: string;
  readonly adminUrl: string;
  readonly port: number;
  readonly grpcPort: number;
  /** Access lines and whatever else was logged, each as written. */
  readonly log: readonly string[];
  /** Serves these documents beside what was put before; a text of the same owner replaces it. */
  readonly put: (...documents: Record<string, unknown>[]) => Promise<void>;
  readonly remove: (...documents: Record<string, unknown>[]) => Promise<void>;
  readonly drain: () => Promise<void>;
  /** POST of JSON; a string goes as it is. */
  readonly post: (path: string, body: unknown, init?: RequestInit) => Promise<Response>;
  readonly get: (path: string) => Promise<Response>;
  /** What `/pools/ml/{name}` says. */
  readonly pool: (name?: string) => Promise<PoolSeen>;
  readonly metrics: () => Promise<string>;
}

export interface PoolSeen {
  readonly inFlight: number;
  readonly queue: { readonly depth: number };
  readonly endpoints: readonly { readonly backend: string; readonly inFlight: number; readonly share: number }[];
  readonly [field: string]: unknown;
}

/** Ends with the test that opened it. */
export async function openDoor(options: Partial<ProxyOptions> = {}, { settled = true } = {}): Promise<Door> {
  const log: string[] = [];
  const address = { host: '127.0.0.1', port: 0 };
  const proxy = await startProxy({
    ...{
      httpAddress: address,
      grpcAddress: address,
      adminAddress: address,
      maxBodyBytes: 100 << 20,
      maxHeldBytes: 256 << 20,
    },
    ...{ maxConnectionAgeMs: 0, drainTimeoutMs: 1, allowUpstream: [], allowLoopback: true, apiServer: [] },
    log: logInto(log),
    ...options,
  });
  let drained: Promise<void> | undefined;
  const drain = (): Promise<void> => {
    drained ??= proxy.drain();
    return drained;
  };
  onTestFinished(drain);
  const { documents } = proxy;
  if (settled) documents.settle();
  const url = `http://127.0.0.1:${proxy.httpPort}`;
  const adminUrl = `http://127.0.0.1:${proxy.adminPort}`;
  return {
    ...{ url, adminUrl, port: proxy.httpPort, grpcPort: proxy.grpcPort, log, drain },
    put: async (...texts) => {
      for (const text of texts) documents.put(sourceOf(text), canonicalJson(text));
      await turn();
    },
    remove: async (...texts) => {
      for (const text of texts) documents.remove(sourceOf(text));
      await turn();
    },
    post: (path, body, init = {}) =>
      fetch(url + path, {
        method: 'POST',
        ...init,
        headers: { 'content-type': 'application/json', ...init.headers },
        body: typeof body === 'string' ? body : JSON.stringify(body),
      }),
    get: (path) => fetch(url + path),
    pool: async (name = 'chat') => (await (await fetch(`${adminUrl}/pools/ml/${name}`)).json()) as PoolSeen,
    metrics: async () => (await fetch(`${adminUrl}/metrics`)).text(),
  };
}

/** Documents are taken over in turns of the event loop. */
async function turn(): Promise<void> {
  for (let n = 0; n < 2; n += 1) await new Promise((resolve) => setImmediate(resolve));
}

function sourceOf({ kind, namespace, name, of }: Record<string, unknown>): string {
  return JSON.stringify([kind, namespace, name, of]);
}

function logInto(lines: string[]): ProgramLog {
  const at = (level: string) => (fields: object, msg: string) => {
    lines.push(JSON.stringify({ level, ...fields, msg }, (_, value) => (value instanceof Error ? value.stack : value)));
  };
  return {
    ...{ debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') },
    ...{ line: (text: string) => lines.push(text), dropped: () => 0, flush: async () => undefined },
  };
}

/** The document of the pool ml/`name`, which serves that name. */
export function pool(name: string, backends: readonly object[], fields: object = {}): Record<string, unknown> {
  return {
    ...{ format: 1, kind: 'LLMPool', namespace: 'ml', name, models: [name], firstModel: name, backends },
    ...fields,
  };
}

/** The document of the HTTP instance ml/`name`. */
export function instance(name: string, backend: object, fields: object = {}): Record<string, unknown> {
  return {
    ...{ format: 1, kind: 'EmbeddingInstance', namespace: 'ml', name, instanceName: name, protocol: 'HTTP', backend },
    ...fields,
  };
}

export function backend({ name, url }: { name: string; url: string }, fields: object = {}): object {
  return { name, url: `${url}/v1`, ...fields };
}

/** Fake model servers of these names; they end with the test. */
export async function fakes<const N extends readonly string[]>(...names: N): Promise<{ [K in keyof N]: FakeLlm }> {
  const servers = await Promise.all(names.map((name) => startFakeLlm({ name })));
  onTestFinished(async () => {
    for (const server of servers) await server.stop();
  });
  return servers as { [K in keyof N]: FakeLlm };
}

export function chat(model = 'chat', more: object = {}): object {
  return { model, messages: [{ role: 'user', content: 'Hi' }], ...more };
}

export async function errorOf(response: Response): Promise<ErrorSeen> {
  const body = (await response.json()) as { error: Omit<ErrorSeen, 'status' | 'retryAfter'> };
  return { status: response.status, retryAfter: response.headers.get('retry-after'), ...body.error };
}

export interface ErrorSeen {
  readonly status: number;
  readonly retryAfter: string | null;
  readonly code: string;
  readonly message: string;
  readonly type: string;
  readonly param: string | null;
}

/** A TCP server that does with each connection what a test wants; it ends with the test. */
export async function rawServer(
  name: string,
  serve: (socket: Socket, connection: number) => void,
): Promise<{ name: string; url: string; connections: () => number }> {
  const sockets = new Set<Socket>();
  let connections = 0;
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    connections += 1;
    serve(socket, connections);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  const { port } = server.address() as { port: number };
  return { name, url: `http://127.0.0.1:${port}`, connections: () => connections };
}

/** A client made of bytes. */
export interface RawClient {
  readonly socket: Socket;
  readonly send: (bytes: string | Buffer) => void;
  /** All that came so far, as latin1. */
  readonly seen: () => string;
  /** Resolves with all that came, once it holds `text`. */
  readonly until: (text: string | RegExp) => Promise<string>;
  /** Resolves with all that came, once the server has closed. */
  readonly closed: Promise<string>;
}

export async function rawClient(port: number): Promise<RawClient> {
  const chunks: Buffer[] = [];
  const socket = connect(port, '127.0.0.1');
  const seen = (): string => Buffer.concat(chunks).toString('latin1');
  socket.on('data', (chunk) => chunks.push(chunk));
  socket.on('error', () => undefined);
  const closed = new Promise<string>((resolve) => socket.once('close', () => resolve(seen())));
  await new Promise<void>((resolve) => socket.once('connect', resolve));
  onTestFinished(() => void socket.destroy());
  return {
    socket,
    seen,
    closed,
    send: (bytes) => void socket.write(bytes),
    until: (text) =>
      eventually(`the door says ${text}`, () => {
        const all = seen();
        return (typeof text === 'string' ? all.includes(text) : text.test(all)) ? all : undefined;
      }),
  };
}

/** The bytes of a POST of JSON. */
export function httpPost(path: string, body: unknown, headers = ''): string {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return `POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n${headers}content-length: ${Buffer.byteLength(text)}\r\n\r\n${text}`;
}
