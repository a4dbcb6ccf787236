import { type ClientHttp2Session, connect, constants } from 'node:http2';
import { createRequire } from 'node:module';
import {
  type ClientDuplexStream,
  credentials,
  loadPackageDefinition,
  type ServiceClientConstructor,
} from '@grpc/grpc-js';
import { load } from '@grpc/proto-loader';
import { expect, onTestFinished, test } from 'vitest';
import { frameOf } from '../../../proxy/grpc/frames.ts';
import { type Door, openDoor } from '../http/door.ts';

const VERSIONS = ['v1', 'v1alpha'] as const;
const includeDirs = [
  createRequire(import.meta.url)
    .resolve('@grpc/reflection')
    .replace(/src\/index\.js$/, 'proto/'),
];
const definition = await load(
  VERSIONS.map((version) => `grpc/reflection/${version}/reflection.proto`),
  { includeDirs },
);
const { grpc } = loadPackageDefinition(definition) as unknown as {
  grpc: { reflection: Record<string, { ServerReflection: ServiceClientConstructor }> };
};

type Stream = ClientDuplexStream<object, Answer>;

interface Answer {
  readonly listServicesResponse?: { service: { name: string }[] };
  readonly fileDescriptorResponse?: { fileDescriptorProto: Buffer[] };
  readonly errorResponse?: { errorCode: number; errorMessage: string };
}

function reflect(door: Door, version: string): Stream {
  const Client = grpc.reflection[version]?.ServerReflection as ServiceClientConstructor;
  const client = new Client(`127.0.0.1:${door.grpcPort}`, credentials.createInsecure(), {
    'grpc.use_local_subchannel_pool': 1,
  }) as unknown as { ServerReflectionInfo: () => Stream; close: () => void };
  onTestFinished(() => client.close());
  const stream = client.ServerReflectionInfo();
  stream.on('error', () => undefined);
  return stream;
}

function ask(stream: Stream, request: object): Promise<Answer> {
  const answer = new Promise<Answer>((resolve) => stream.once('data', resolve));
  stream.write(request);
  return answer;
}

function code(stream: Stream): Promise<number> {
  return new Promise((resolve) => stream.on('status', (end) => resolve(end.code)));
}

test.each(VERSIONS)('%s lists every service, and describes each with all that its file imports', async (version) => {
  const stream = reflect(await openDoor(), version);
  const { listServicesResponse } = await ask(stream, { listServices: '*' });
  const names = listServicesResponse?.service.map(({ name }) => name);
  expect(names).toEqual(
    expect.arrayContaining([
      ...['tei_multiplexer.v1.TeiMultiplexer', 'tei.v1.Info', 'tei.v1.Embed', 'tei.v1.Predict', 'tei.v1.Rerank'],
      ...['tei.v1.Tokenize', 'grpc.health.v1.Health', 'grpc.reflection.v1.ServerReflection'],
      'grpc.reflection.v1alpha.ServerReflection',
    ]),
  );
  for (const name of names ?? []) {
    const { fileDescriptorResponse } = await ask(stream, { fileContainingSymbol: name });
    const files = fileDescriptorResponse?.fileDescriptorProto.length;
    expect(files, name).toBe(name.startsWith('tei_multiplexer') ? 2 : 1);
  }
  expect(await ask(stream, { fileByFilename: 'tei/v1/tei.proto' })).toHaveProperty('fileDescriptorResponse');
  expect(await ask(stream, { fileContainingSymbol: 'no.such.Thing' })).toMatchObject({
    errorResponse: { errorCode: 5 },
  });
  const end = code(stream);
  stream.end();
  expect(await end).toBe(0);
});

test('draining does not wait for those who hold a reflection stream', async () => {
  const door = await openDoor({ drainTimeoutMs: 60_000 });
  const stream = reflect(door, 'v1');
  const end = code(stream);
  await ask(stream, { listServices: '*' });
  await door.drain();
  expect(await end).toBe(14);
});

const PATH = '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo';

function session(door: Door): ClientHttp2Session {
  const client = connect(`http://127.0.0.1:${door.grpcPort}`);
  client.on('error', () => undefined);
  onTestFinished(() => client.destroy());
  return client;
}

function headers(path: string): Record<string, string> {
  return { ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers' };
}

test.each([
  ['bytes that are no message', frameOf(Buffer.alloc(9, 0xff)), '3'],
  ['a message cut short', frameOf(Buffer.from('\n\x05hello')).subarray(0, 8), '3'],
  ['a message above the limit', Buffer.from([0, 0, 2, 0, 0]), '8'],
  ['a compressed one', Buffer.from([1, 0, 0, 0, 0]), '12'],
])('%s ends its call, and others are answered', async (_, bytes, expected) => {
  const door = await openDoor();
  const client = session(door);
  for (const path of [PATH, '/grpc.health.v1.Health/Check', '/grpc.health.v1.Health/Watch']) {
    expect(await statusOf(client, path, bytes), path).toBe(expected);
  }
  expect(await statusOf(client, '/grpc.health.v1.Health/Check', frameOf())).toBe('0');
});

test('unary calls have one message: none and two are INVALID_ARGUMENT', async () => {
  const client = session(await openDoor());
  for (const bytes of [Buffer.alloc(0), Buffer.concat([frameOf(), frameOf()])]) {
    expect(await statusOf(client, '/grpc.health.v1.Health/Check', bytes)).toBe('3');
  }
  expect(await statusOf(client, '/grpc.health.v1.Health/Unknown', frameOf())).toBe('12');
});

test('a deadline ends a Watch', async () => {
  const client = session(await openDoor());
  expect(await statusOf(client, '/grpc.health.v1.Health/Watch', frameOf(), { 'grpc-timeout': '20m' })).toBe('4');
});

function statusOf(client: ClientHttp2Session, path: string, bytes: Buffer, more = {}): Promise<string> {
  const stream = client.request({ ...headers(path), ...more });
  return new Promise((resolve) => {
    stream.on('response', (head) => {
      if (head['grpc-status'] !== undefined) resolve(String(head['grpc-status']));
    });
    stream.on('trailers', (trailers) => resolve(String(trailers['grpc-status'])));
    stream.on('close', () => resolve(`closed ${stream.rstCode === constants.NGHTTP2_NO_ERROR}`));
    stream.on('error', () => undefined);
    stream.resume();
    stream.end(bytes);
  });
}
