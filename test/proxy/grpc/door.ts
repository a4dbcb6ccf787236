import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import {
  type CallOptions,
  type Client,
  credentials,
  loadPackageDefinition,
  Metadata,
  type MetadataValue,
  type ServiceClientConstructor,
  type ServiceError,
  type StatusObject,
} from '@grpc/grpc-js';
import { load } from '@grpc/proto-loader';
import { type Status, status } from '../../../proxy/grpc/codes.ts';
import { createHandler } from '../../../proxy/grpc/handle.ts';
import { metadataValue } from '../../../proxy/grpc/metadata.ts';
import type { Destination, Route, Router } from '../../../proxy/grpc/route.ts';
import { createGrpcServer } from '../../../proxy/grpc/server.ts';
import { createSessions, type Sessions } from '../../../proxy/grpc/sessions.ts';
import type { Target } from '../../../proxy/grpc/target.ts';
import type { UpstreamEnd } from '../../../proxy/grpc/upstream-end.ts';
import { outcomeOf } from '../../../proxy/upstream/outcome.ts';
import { settingsOf } from './peers.ts';

/** A door whose routing is a table: instance names and their endpoints. */
export interface Door {
  readonly port: number;
  /** `instance outcome` of each attempt so far. */
  readonly attempts: string[];
  /** Calls that ended, by code. */
  readonly ended: number[];
  /** Routes that were opened and not ended yet. */
  readonly open: () => number;
  readonly close: () => Promise<void>;
}

export interface DoorOptions {
  readonly maxMessageBytes?: number;
  readonly firstByteMs?: number;
  readonly timeoutMs?: number;
}

export async function startDoor(
  instances: Readonly<Record<string, readonly string[]>>,
  { maxMessageBytes = 30_000_000, firstByteMs = 0, timeoutMs = 0 }: DoorOptions = {},
): Promise<Door> {
  const attempts: string[] = [];
  const ended: number[] = [];
  let open = 0;
  const endpoints = new Map(
    Object.entries(instances).map(([name, origins]) => [name, origins.map((each) => createSessions(settingsOf(each)))]),
  );
  const routeTo = (name: string, sessions: readonly Sessions[]): Route => {
    let next = 0;
    open += 1;
    return {
      next: (onTurn) => {
        const chosen = sessions[next];
        next += 1;
        if (chosen === undefined) {
          onTurn(status('UNAVAILABLE', `No endpoint of '${name}' is left`));
          return;
        }
        const turnEnded = ({ cause }: UpstreamEnd): void => void attempts.push(`${name} ${outcomeOf(cause)}`);
        onTurn({
          sessions: chosen,
          basePath: '',
          firstByteMs,
          idleMs: 0,
          heard: undefined,
          headers: ['authorization', 'Bearer upstream'],
          ended: turnEnded,
        });
      },
      end: () => {
        open -= 1;
      },
    };
  };
  const resolve = (name: string): Destination | Status => {
    const sessions = endpoints.get(name);
    if (sessions === undefined) return status('NOT_FOUND', `Instance '${name}' not found`);
    return { key: name, timeoutMs, open: () => routeTo(name, sessions) };
  };
  const router: Router = {
    resolve: (call, _method, target) => {
      call.extraTrailers = ['x-sluice-attempts', String(attempts.length)];
      return resolve(nameOf(target) ?? metadataValue(call.rawHeaders, 'x-tei-instance'));
    },
  };
  const handler = createHandler({
    router,
    ...{ maxMessageBytes, held: { total: 0, meanSeconds: 1, shed: new Map() }, limits: { maxHeldBytes: 256 << 20 } },
    other: () => false,
    onOver: (_call, _method, { code }) => void ended.push(code),
  });
  const door = createGrpcServer(handler, { maxConnectionAgeMs: 0, random: () => 0.5 });
  await new Promise<void>((listening) => door.server.listen(0, '127.0.0.1', listening));
  return {
    port: (door.server.address() as AddressInfo).port,
    ...{ attempts, ended, open: () => open },
    close: async () => {
      await door.drain(0);
      for (const sessions of endpoints.values()) for (const each of sessions) each.close();
    },
  };
}

function nameOf(target: Target | undefined): string | undefined {
  if (target === undefined) return undefined;
  return target.by === 'index' ? String(target.index) : target.by === 'name' ? target.name : target.model;
}

const definition = await load(['tei_multiplexer/v1/multiplexer.proto', 'tei/v1/tei.proto'], {
  includeDirs: [fileURLToPath(new URL('../../../proto/', import.meta.url))],
  keepCase: true,
  defaults: true,
});
const packages = loadPackageDefinition(definition) as unknown as {
  tei_multiplexer: { v1: Record<string, ServiceClientConstructor> };
  tei: { v1: Record<string, ServiceClientConstructor> };
};

type Message = Record<string, unknown>;

/** What a call came to, as a grpc-js client sees it. */
export interface Seen {
  readonly answers: readonly Message[];
  readonly code: number;
  readonly details: string;
  readonly head: Metadata | undefined;
  readonly trailers: Metadata | undefined;
}

export interface GrpcClient {
  readonly unary: (method: string, request: object, more?: Sent) => Promise<Seen>;
  /** Sends all at once and half-closes. */
  readonly stream: (method: string, requests: readonly object[], more?: Sent) => Promise<Seen>;
  readonly manyToOne: (method: string, requests: readonly object[], more?: Sent) => Promise<Seen>;
  readonly raw: Client & Record<string, (...args: unknown[]) => never>;
  readonly close: () => void;
}

export interface Sent {
  readonly metadata?: Readonly<Record<string, MetadataValue>>;
  readonly options?: CallOptions;
}

/**
 * A grpc-js client of a service: `TeiMultiplexer`, or one of tei.v1's. `retries`: it sends again by itself what no server
 * has seen, as clients do unless told not to.
 */
export function clientOf(port: number, service = 'TeiMultiplexer', { retries = false } = {}): GrpcClient {
  const Constructor = packages.tei_multiplexer.v1[service] ?? packages.tei.v1[service];
  if (Constructor === undefined) throw new Error(`no service ${service}`);
  const client = new Constructor(`127.0.0.1:${port}`, credentials.createInsecure(), {
    'grpc.max_receive_message_length': -1,
    'grpc.enable_retries': retries ? 1 : 0,
    'grpc.use_local_subchannel_pool': 1,
  }) as unknown as GrpcClient['raw'];
  const oneAnswer = (method: string, requests: readonly object[], isUnary: boolean, more: Sent): Promise<Seen> =>
    new Promise((resolve) => {
      let head: Metadata | undefined;
      let answer: Message | undefined;
      const done = (_error: ServiceError | null, message?: Message): void => {
        answer = message;
      };
      const args = [metadataOf(more), more.options ?? {}, done];
      const call = bind(client, method)(...(isUnary ? [requests[0], ...args] : args)) as unknown as Listened;
      call.on('metadata', (metadata: Metadata) => {
        head = metadata;
      });
      // The callback comes after the status.
      call.on('status', (end: StatusObject) => setImmediate(() => resolve(seen(answer ? [answer] : [], end, head))));
      if (isUnary) return;
      for (const request of requests) call.write(request);
      call.end();
    });
  return {
    unary: (method, request, more = {}) => oneAnswer(method, [request], true, more),
    manyToOne: (method, requests, more = {}) => oneAnswer(method, requests, false, more),
    stream: (method, requests, more = {}) =>
      new Promise((resolve) => {
        const call = bind(client, method)(metadataOf(more), more.options ?? {}) as unknown as Listened;
        const answers: Message[] = [];
        let head: Metadata | undefined;
        call.on('metadata', (metadata: Metadata) => {
          head = metadata;
        });
        call.on('data', (answer: Message) => answers.push(answer));
        call.on('error', () => {});
        call.on('status', (end: StatusObject) => resolve(seen(answers, end, head)));
        for (const request of requests) call.write(request);
        call.end();
      }),
    raw: client,
    close: () => client.close(),
  };
}

interface Listened {
  on: (event: string, listener: (arg: never) => void) => void;
  write: (message: object) => void;
  end: () => void;
}

function bind(client: GrpcClient['raw'], method: string): (...args: unknown[]) => never {
  const found = client[method];
  if (found === undefined) throw new Error(`no method ${method}`);
  return found.bind(client);
}

function seen(answers: readonly Message[], end: StatusObject, head: Metadata | undefined): Seen {
  return { answers, code: end.code, details: end.details, head, trailers: end.metadata };
}

function metadataOf({ metadata = {} }: Sent): Metadata {
  const result = new Metadata();
  for (const [name, value] of Object.entries(metadata)) result.set(name, value);
  return result;
}
