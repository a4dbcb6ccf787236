import { EventEmitter } from 'node:events';
import { readFile } from 'node:fs/promises';
import type { MethodDefinition, Server, ServiceDefinition } from '@grpc/grpc-js';
import type { PackageDefinition } from '@grpc/proto-loader';
import { ReflectionService } from '@grpc/reflection';
import type { ClientCall } from './client-call.ts';
import { frameOf, PREFIX_BYTES } from './frames.ts';
import { OK, readRequests, UNDECODABLE } from './own-call.ts';
import { type Cursor, readBytes, readTag } from './protobuf.ts';

/** What takes one call, by its path. */
export type Services = ReadonlyMap<string, (call: ClientCall) => void>;

/**
 * Server reflection, v1 and v1alpha, over the files of proto/, as protoc describes them. Takes 20 MB, so it is loaded
 * when somebody asks.
 */
export async function loadReflection(): Promise<Services> {
  const services = new Map<string, (call: ClientCall) => void>();
  const addService = (methods: ServiceDefinition, handlers: Record<string, Handler>): void => {
    for (const [name, method] of Object.entries(methods)) {
      services.set(method.path, (call) => serve(call, method, handlers[name] as Handler));
    }
  };
  const files = filesOf(await readFile(new URL('../../proto/descriptors.binpb', import.meta.url)));
  const described = { all: { fileDescriptorProtos: files } } as unknown as PackageDefinition;
  new ReflectionService(described).addToServer({ addService } as unknown as Server);
  return services;
}

/** What a handler for grpc-js's server does with a stream. */
type Handler = (stream: EventEmitter & { readonly write: (answer: object) => void; readonly end: () => void }) => void;

function serve(call: ClientCall, method: MethodDefinition<object, object>, handler: Handler): void {
  let takesMore = true;
  const write = (answer: object): void => {
    takesMore = call.write(frameOf(method.responseSerialize(answer)));
  };
  const stream = Object.assign(new EventEmitter(), { write, end: () => call.end(OK) });
  handler(stream);
  const onRequest = (frame: Buffer): boolean => {
    const request = decoded(method, frame);
    if (request === undefined) call.end(UNDECODABLE);
    else stream.emit('data', request);
    return takesMore;
  };
  readRequests(call, onRequest, () => stream.emit('end'));
}

function decoded(method: MethodDefinition<object, object>, frame: Buffer): object | undefined {
  try {
    return method.requestDeserialize(frame.subarray(PREFIX_BYTES));
  } catch {
    return undefined;
  }
}

/** The encoded files of a FileDescriptorSet. */
function filesOf(set: Buffer): Buffer[] {
  const cursor: Cursor = { bytes: set, at: 0, end: set.length };
  const files: Buffer[] = [];
  while (cursor.at !== -1 && cursor.at < cursor.end) {
    readTag(cursor);
    const start = readBytes(cursor);
    files.push(set.subarray(start, cursor.at));
  }
  return files;
}
