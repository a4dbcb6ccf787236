import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { answerOf, type FakeAnswer } from './fake-llm-answers.ts';

/** How a fake server misbehaves. From the header `x-fake` (this as JSON) of a call, else from the server's own setting. */
export interface Behaviour {
  /** 400 and above: an OpenAI-shaped error in place of the answer. */
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly retryAfter?: string;
  /** In place of the answer's body. */
  readonly body?: string;
  readonly contentType?: string;
  /** Before the head of the answer. */
  readonly delayMs?: number;
  /** Between the head and the first byte of the body. */
  readonly firstByteDelayMs?: number;
  /** Content events of a stream; default 3. */
  readonly chunks?: number;
  /** Between two events of a stream. */
  readonly intervalMs?: number;
  /** Resets the connection after so many events or bytes of the body. */
  readonly cutAfterChunks?: number;
  readonly cutAfterBytes?: number;
  /** Says nothing more after so many events, and keeps the connection. */
  readonly stallAfterChunks?: number;
  /** Bytes that are no HTTP. */
  readonly garbage?: boolean;
  /** Closes the connection once the request is read. */
  readonly closeBeforeHeaders?: boolean;
}

export interface Call {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly rawHeaders: readonly string[];
  readonly body: Buffer;
  /** `performance.now()` when its body was read. */
  readonly atMs: number;
  /** `performance.now()` when the client left before the answer's end. */
  cancelledAtMs: number | undefined;
  /** The answer was sent to its end. */
  done: boolean;
}

/** A model server in this process that speaks OpenAI's API and can be told to misbehave. */
export interface FakeLlm {
  readonly name: string;
  /** http://127.0.0.1:PORT, without /v1. */
  readonly url: string;
  readonly port: number;
  /** What it has received so far, in order. */
  readonly calls: readonly Call[];
  /** What it does to every call from now on; nothing: behaves well. */
  readonly behave: (behaviour?: Behaviour) => void;
  /** What it does to the next calls, one behaviour each; then `behave` counts again. */
  readonly behaveNext: (...behaviours: Behaviour[]) => void;
  /** Calls being answered now. */
  readonly open: () => number;
  readonly connections: () => number;
  /** Closes at once, open calls too. */
  readonly stop: () => Promise<void>;
}

export interface FakeLlmOptions {
  readonly name: string;
  readonly models?: readonly string[];
  /** Default: a free one. The same one again: a server that comes back. */
  readonly port?: number;
}

export async function startFakeLlm({ name, models = [name], port = 0 }: FakeLlmOptions): Promise<FakeLlm> {
  const calls: Call[] = [];
  const sockets = new Set<Socket>();
  const next: Behaviour[] = [];
  let always: Behaviour = {};
  let open = 0;
  const server = createServer((request, response) => {
    open++;
    response.once('close', () => open--);
    answerCall(request, response).catch(() => response.destroy());
  });
  const answerCall = async (request: IncomingMessage, response: ServerResponse) => {
    const call = await received(request);
    calls.push(call);
    const behaviour = steered(request) ?? next.shift() ?? always;
    const asked = {
      path: call.path,
      body: call.body,
      contentType: call.headers['content-type'] ?? '',
      chunks: behaviour.chunks ?? 3,
    };
    const gone = new AbortController();
    let isCut = false;
    const cut = () => {
      isCut = true;
      response.socket?.destroy();
    };
    response.once('close', () => {
      if (!response.writableFinished && !isCut) call.cancelledAtMs = performance.now();
      gone.abort();
    });
    await send(response, behaviour, answerOf(name, models, asked), { name, cut, gone: gone.signal });
    call.done = response.writableEnded;
  };
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  // Its own timeouts would cut connections where no test asked for it.
  server.keepAliveTimeout = 0;
  server.requestTimeout = 0;
  // On every address: an EndpointSlice takes none of loopback.
  server.listen(port, '0.0.0.0');
  await once(server, 'listening');
  const bound = (server.address() as AddressInfo).port;
  return {
    ...{ name, calls, url: `http://127.0.0.1:${bound}`, port: bound },
    behave: (behaviour = {}) => {
      always = behaviour;
    },
    behaveNext: (...behaviours) => {
      next.push(...behaviours);
    },
    open: () => open,
    connections: () => sockets.size,
    stop: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function received(request: IncomingMessage): Promise<Call> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  const { method = '', url = '', headers, rawHeaders } = request;
  return {
    ...{ method, path: url, headers, rawHeaders, body: Buffer.concat(parts), atMs: performance.now() },
    ...{ cancelledAtMs: undefined, done: false },
  };
}

function steered(request: IncomingMessage): Behaviour | undefined {
  const header = request.headers['x-fake'];
  return typeof header === 'string' ? (JSON.parse(header) as Behaviour) : undefined;
}

interface Sending {
  readonly name: string;
  /** Destroys the connection, which then is no cancelling of the client's. */
  readonly cut: () => void;
  readonly gone: AbortSignal;
}

async function send(
  response: ServerResponse,
  behaviour: Behaviour,
  answer: FakeAnswer,
  sending: Sending,
): Promise<void> {
  const { name, gone } = sending;
  const { status = 200, delayMs = 0, firstByteDelayMs = 0, retryAfter } = behaviour;
  if (delayMs > 0) await pause(delayMs, undefined, { signal: gone });
  if (behaviour.closeBeforeHeaders === true) return sending.cut();
  if (behaviour.garbage === true) return void response.socket?.end('220 this is not HTTP\r\n\r\n');
  const { contentType, parts, streams } = status >= 400 ? failure(name, status) : answer;
  const body = behaviour.body === undefined ? parts.map((part) => Buffer.from(part)) : [Buffer.from(behaviour.body)];
  response.writeHead(status, {
    'content-type': behaviour.contentType ?? contentType,
    'x-fake-llm': name,
    ...(retryAfter === undefined ? {} : { 'retry-after': retryAfter }),
    ...(streams ? {} : { 'content-length': Buffer.concat(body).length }),
    ...behaviour.headers,
  });
  response.flushHeaders();
  if (firstByteDelayMs > 0) await pause(firstByteDelayMs, undefined, { signal: gone });
  await sendBody(response, behaviour, body, sending);
}

async function sendBody(
  response: ServerResponse,
  behaviour: Behaviour,
  parts: readonly Buffer[],
  { gone, cut }: Sending,
): Promise<void> {
  const {
    cutAfterChunks = Infinity,
    cutAfterBytes = Infinity,
    stallAfterChunks = Infinity,
    intervalMs = 0,
  } = behaviour;
  let bytes = 0;
  for (const [index, part] of parts.entries()) {
    if (index >= cutAfterChunks) return cut();
    if (index >= stallAfterChunks) return;
    if (index > 0 && intervalMs > 0) await pause(intervalMs, undefined, { signal: gone });
    await written(response, part.subarray(0, cutAfterBytes - bytes));
    bytes += part.length;
    if (bytes >= cutAfterBytes) return cut();
  }
  response.end();
}

/** Resolves once the bytes have left this process, so that a reset after it does not take them along. */
function written(response: ServerResponse, bytes: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    response.write(bytes, (error) => (error ? reject(error) : resolve()));
  });
}

function failure(name: string, status: number): FakeAnswer {
  const error = { message: `${name} fails with ${status}`, type: 'fake', param: null, code: `fake_${status}` };
  return { contentType: 'application/json', parts: [JSON.stringify({ error })], streams: false };
}
