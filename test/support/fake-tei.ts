import { type AddressInfo, createServer, type Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import {
  Metadata,
  type MethodDefinition,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServiceDefinition,
  type sendUnaryData,
  type UntypedHandleCall,
} from '@grpc/grpc-js';
import { load } from '@grpc/proto-loader';

/**
 * An instance of TEI as far as its gRPC goes, answered by grpc-js. A call steers it by metadata: `x-fake-delay-ms`,
 * `x-fake-status` (a code; with `x-fake-details`, bytes for `grpc-status-details-bin`), `x-fake-after` (answers of a
 * stream before the fault), `x-fake-cut` (the connection ends), `x-fake-garbage` (bytes that are no HTTP/2),
 * `x-fake-goaway`, `x-fake-stall` (no answer at all). `x-fake-only: NAME` leaves all other fakes as they are.
 */
export interface FakeTei {
  readonly name: string;
  readonly port: number;
  readonly origin: string;
  /** Metadata of each call so far. */
  readonly seen: Metadata[];
  /** Each request that was answered so far; those of RerankStream as one, with all texts. */
  readonly received: Received[];
  /** Answers of a method, its stream's too, are these from now on. */
  readonly answer: (method: string, answer: Answer) => void;
  /** Calls that ended because their client went. */
  readonly cancelled: () => number;
  /** Connections ever made. */
  readonly accepted: () => number;
  readonly cut: () => void;
  readonly close: () => Promise<void>;
}

export interface Received {
  readonly method: string;
  readonly request: Message;
}

type Message = Record<string, unknown>;
type Call = ServerUnaryCall<Message, Message> | ServerReadableStream<Message, Message> | Duplex;
type Duplex = ServerDuplexStream<Message, Message>;

const PROTO = fileURLToPath(new URL('../../proto/', import.meta.url));
const SERVICES = ['Info', 'Embed', 'Predict', 'Rerank', 'Tokenize'];

/** Listens on 127.0.0.1. */
export async function startFakeTei(name: string, port = 0): Promise<FakeTei> {
  const fake = new Fake(name);
  const definition = await load('tei/v1/tei.proto', { includeDirs: [PROTO], keepCase: true, defaults: true });
  const grpc = new Server({ 'grpc.max_receive_message_length': -1 });
  for (const service of SERVICES) {
    const methods = definition[`tei.v1.${service}`] as ServiceDefinition;
    grpc.addService(
      methods,
      Object.fromEntries(Object.entries(methods).map(([each, method]) => [each, fake.handler(each, method)])),
    );
  }
  const injector = grpc.createConnectionInjector(ServerCredentials.createInsecure());
  const tcp = createServer((socket) => {
    fake.take(socket);
    injector.injectConnection(socket);
  });
  fake.goaway = () => injector.drain(60_000);
  await new Promise<void>((resolve) => tcp.listen(port, '127.0.0.1', resolve));
  const { port: bound } = tcp.address() as AddressInfo;
  return {
    ...{ name, port: bound, origin: `http://127.0.0.1:${bound}`, seen: fake.seen, received: fake.received },
    answer: (method, answer) => fake.answers.set(method, answer),
    cancelled: () => fake.cancelled,
    accepted: () => fake.accepted,
    cut: () => fake.cut(),
    close: () => {
      fake.cut();
      grpc.forceShutdown();
      return new Promise((resolve) => tcp.close(() => resolve()));
    },
  };
}

class Fake {
  readonly name: string;
  readonly seen: Metadata[] = [];
  readonly received: Received[] = [];
  readonly answers = new Map(Object.entries(ANSWERS));
  readonly #sockets = new Map<string, Socket>();
  /** grpc-js calls each call cancelled that is over, also one that has its status. */
  readonly #answered = new WeakSet<Call>();
  cancelled = 0;
  accepted = 0;
  goaway: () => void = () => {};

  constructor(name: string) {
    this.name = name;
  }

  take(socket: Socket): void {
    this.accepted += 1;
    const peer = `${socket.remoteAddress}:${socket.remotePort}`;
    this.#sockets.set(peer, socket);
    socket.on('error', () => {});
    socket.on('close', () => this.#sockets.delete(peer));
  }

  cut(): void {
    for (const socket of this.#sockets.values()) socket.resetAndDestroy();
  }

  handler(name: string, method: MethodDefinition<Message, Message>): UntypedHandleCall {
    const answer: Answer = (request, of) => {
      this.received.push({ method: name, request });
      return (this.answers.get(name.replace('Stream', '')) as Answer)(request, of);
    };
    const unary = (call: ServerUnaryCall<Message, Message>, done: sendUnaryData<Message>): void => {
      void this.#begin(call, 0).then((fault) => {
        if (fault !== 'silent') this.#answered.add(call);
        if (fault === undefined) done(null, answer(call.request, this.name), trailers());
        else if (fault !== 'silent') done(fault);
      });
    };
    const manyToOne = (call: ServerReadableStream<Message, Message>, done: sendUnaryData<Message>): void => {
      const requests: Message[] = [];
      call.on('data', (request: Message) => requests.push(request));
      call.on('end', () => {
        void this.#begin(call, 0).then((fault) => {
          const texts = requests.map(({ text }) => text);
          if (fault !== 'silent') this.#answered.add(call);
          if (fault === undefined) done(null, answer({ ...requests[0], texts }, this.name), trailers());
          else if (fault !== 'silent') done(fault);
        });
      });
    };
    // Reading ends with an error where the client goes in the middle of it.
    const stream = (call: Duplex): void => void this.#converse(call, answer).catch(() => {});
    const handle = method.responseStream ? stream : method.requestStream ? manyToOne : unary;
    return handle as UntypedHandleCall;
  }

  async #converse(call: Duplex, answer: Answer): Promise<void> {
    let answered = 0;
    call.on('error', () => {});
    for await (const request of call) {
      const fault = await this.#begin(call, answered);
      if (fault === 'silent') return;
      if (fault !== undefined) {
        this.#answered.add(call);
        call.emit('error', fault);
        return;
      }
      answered += 1;
      call.write(answer(request as Message, this.name));
    }
    // To Node a stream that is reset ends first, and is closed a moment later.
    await new Promise((resolve) => setImmediate(resolve));
    if (call.cancelled) return;
    this.#answered.add(call);
    call.end(trailers());
  }

  /** What is to be done in place of an answer; undefined: nothing. */
  async #begin(call: Call, answered: number): Promise<object | 'silent' | undefined> {
    const { metadata } = call;
    const of = (name: string): string => String(metadata.get(`x-fake-${name}`)[0] ?? '');
    if (answered === 0) {
      this.seen.push(metadata);
      (call as NodeJS.EventEmitter).on('cancelled', () => {
        if (!this.#answered.has(call)) this.cancelled += 1;
      });
      const head = new Metadata();
      head.set('x-fake-name', this.name);
      head.set('x-total-time', '7');
      call.sendMetadata(head);
    }
    if (of('only') !== '' && of('only') !== this.name) return undefined;
    const delayMs = Number(of('delay-ms'));
    if (delayMs > 0) await new Promise((resolve) => setTimeout(resolve, delayMs));
    if (answered < Number(of('after'))) return undefined;
    if (of('stall') !== '') return 'silent';
    const socket = this.#sockets.get(call.getPeer());
    if (of('cut') !== '') socket?.resetAndDestroy();
    else if (of('garbage') !== '') socket?.end('this is no HTTP/2 at all, and never will be');
    else if (of('goaway') !== '') this.goaway();
    else if (of('status') !== '') return fault(Number(of('status')), of('details'));
    else return undefined;
    return of('goaway') === '' ? 'silent' : undefined;
  }
}

function fault(code: number, details: string): object {
  const metadata = trailers();
  if (details !== '') metadata.set('grpc-status-details-bin', Buffer.from(details));
  return { code, details: 'as told: ü', metadata };
}

function trailers(): Metadata {
  const metadata = new Metadata();
  metadata.set('x-fake-trailer', 'said last');
  return metadata;
}

type Answer = (request: Message, name: string) => Message;

/** From each answer one can tell what was asked. */
const ANSWERS: Readonly<Record<string, Answer>> = {
  Info: (_, name) => ({ model_id: name, version: '1.9.3' }),
  Embed: ({ inputs }, name) => ({ embeddings: [length(inputs)], metadata: { compute_chars: length(name) } }),
  EmbedSparse: ({ inputs }) => ({ sparse_embeddings: [{ index: length(inputs), value: 1 }] }),
  EmbedAll: ({ inputs }) => ({ token_embeddings: [{ embeddings: [length(inputs)] }] }),
  Predict: ({ inputs }, name) => ({ predictions: [{ score: length(inputs), label: name }] }),
  PredictPair: ({ inputs }) => ({ predictions: [{ score: 1, label: (inputs as string[]).join('|') }] }),
  Rerank: ({ texts }) => ({ ranks: (texts as string[]).map((text, index) => ({ index, text, score: 1 })) }),
  Tokenize: ({ inputs }) => ({ tokens: [{ id: length(inputs), text: inputs }] }),
  Decode: ({ ids }) => ({ text: (ids as number[]).join(' ') }),
};

function length(text: unknown): number {
  return String(text).length;
}
