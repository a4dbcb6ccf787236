import { connect, type ServerHttp2Stream } from 'node:http2';
import { Metadata } from '@grpc/grpc-js';
import { afterEach, describe, expect, test } from 'vitest';
import { CODES } from '../../../proxy/grpc/codes.ts';
import { frameOf } from '../../../proxy/grpc/frames.ts';
import { eventually } from '../../support/eventually.ts';
import { type FakeTei, startFakeTei } from '../../support/fake-tei.ts';
import { freePort } from '../../support/ports.ts';
import { clientOf, type Door, type DoorOptions, type GrpcClient, type Seen, startDoor } from './door.ts';
import { startPeer } from './peers.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function fakeOf(name: string, port = 0): Promise<FakeTei> {
  const fake = await startFakeTei(name, port);
  cleanups.push(fake.close);
  return fake;
}

async function doorOf(instances: Record<string, string[]>, options: DoorOptions = {}): Promise<Door> {
  const door = await startDoor(instances, options);
  cleanups.push(door.close);
  return door;
}

function client(door: Door, service?: string): GrpcClient {
  const made = clientOf(door.port, service);
  cleanups.push(made.close);
  return made;
}

async function peerOf(onStream: (stream: ServerHttp2Stream) => void): Promise<string> {
  const peer = await startPeer(onStream);
  cleanups.push(peer.close);
  return peer.origin;
}

const to = (name: string, inputs: unknown = 'hello') => ({ target: { instance_name: name }, request: { inputs } });
/** The lengths of inputs, as the fakes answer with them. */
const lengths = (seen: Seen): number[] =>
  seen.answers.map((each) => (each as { embeddings: number[] }).embeddings[0] as number);
const count = (many: number): number[] => Array.from({ length: many }, (_, index) => index + 1);

interface Duplex {
  on: (event: string, listener: (arg: never) => void) => void;
  write: (message: object, sent?: () => void) => boolean;
  end: () => void;
  cancel: () => void;
}

function open(grpc: GrpcClient, method: string, metadata: Record<string, string> = {}): Duplex {
  const sent = new Metadata();
  for (const [name, value] of Object.entries(metadata)) sent.set(name, value);
  const found = grpc.raw[method] as unknown as (metadata: Metadata) => Duplex;
  const call = found.call(grpc.raw, sent);
  call.on('error', () => {});
  return call;
}

test('the seven streams and RerankStream are answered by the instance that each message names', async () => {
  const fake = await fakeOf('a');
  const grpc = client(await doorOf({ a: [fake.origin] }));
  const three = (request: (n: number) => object) =>
    count(3).map((n) => ({ target: { instance_name: 'a' }, request: request(n) }));
  const text = (n: number) => ({ inputs: 'x'.repeat(n) });
  const answers = async (method: string, request: (n: number) => object) => {
    const seen = await grpc.stream(method, three(request));
    expect(seen.code).toBe(0);
    return seen.answers;
  };
  expect(await answers('EmbedStream', text)).toMatchObject([
    { embeddings: [1] },
    { embeddings: [2] },
    { embeddings: [3] },
  ]);
  expect(await answers('EmbedSparseStream', text)).toMatchObject([{}, { sparse_embeddings: [{ index: 2 }] }, {}]);
  expect(await answers('EmbedAllStream', text)).toMatchObject([{}, {}, { token_embeddings: [{ embeddings: [3] }] }]);
  expect(await answers('PredictStream', text)).toMatchObject([{}, { predictions: [{ score: 2 }] }, {}]);
  expect(await answers('PredictPairStream', (n) => ({ inputs: ['a', String(n)] }))).toMatchObject([
    {},
    { predictions: [{ label: 'a|2' }] },
    {},
  ]);
  expect(await answers('TokenizeStream', text)).toMatchObject([{ tokens: [{ text: 'x' }] }, {}, {}]);
  expect(await answers('DecodeStream', (n) => ({ ids: [n, 7] }))).toMatchObject([{ text: '1 7' }, {}, {}]);
  const ranked = await grpc.manyToOne(
    'RerankStream',
    three((n) => ({ query: 'q', text: `t${n}` })),
  );
  expect(ranked).toMatchObject({ code: 0, answers: [{ ranks: [{ text: 't1' }, { text: 't2' }, { text: 't3' }] }] });
});

test('plain tei.v1 streams pass, and answers may come before the last request', async () => {
  const fake = await fakeOf('a');
  const door = await doorOf({ a: [fake.origin] });
  const call = open(client(door, 'Embed'), 'EmbedStream', { 'x-tei-instance': 'a' });
  const answers: object[] = [];
  call.on('data', (answer: object) => answers.push(answer));
  call.write({ inputs: 'a' });
  await eventually('the first answer', () => answers.length === 1);
  call.write({ inputs: 'ab' });
  await eventually('the second answer', () => answers.length === 2);
  call.end();
  await eventually('all is given back', () => door.open() === 0 && door.ended[0] === 0);
});

test('each message goes to its own instance, and answers come in the order of requests', async () => {
  const [slow, quick] = [await fakeOf('slow'), await fakeOf('quick')];
  const grpc = client(await doorOf({ slow: [slow.origin], quick: [quick.origin] }));
  const requests = count(60).map((n) => to(n % 3 === 0 ? 'slow' : 'quick', 'x'.repeat(n)));
  const seen = await grpc.stream('EmbedStream', requests, {
    metadata: { 'x-fake-delay-ms': '5', 'x-fake-only': 'slow' },
  });
  expect(seen.code).toBe(0);
  expect(lengths(seen)).toEqual(count(60));
  expect([slow.seen.length, quick.seen.length]).toEqual([1, 1]);
  expect(seen.trailers?.get('x-fake-trailer')).toEqual(['said last']);
});

test('ping-pong: an answer comes before the next request is sent', async () => {
  const [a, b] = [await fakeOf('a'), await fakeOf('b')];
  const call = open(client(await doorOf({ a: [a.origin], b: [b.origin] })), 'EmbedStream');
  let answers = 0;
  call.on('data', () => {
    answers += 1;
  });
  for (const n of count(10)) {
    call.write(to(n % 2 === 0 ? 'a' : 'b'));
    await eventually('its answer', () => answers === n);
  }
  call.end();
});

test('5,000 messages at once, and large ones: all are answered in order', async () => {
  const [a, b] = [await fakeOf('a'), await fakeOf('b')];
  const grpc = client(await doorOf({ a: [a.origin], b: [b.origin] }));
  const many = await grpc.stream(
    'EmbedStream',
    count(5_000).map((n) => to(n % 7 === 0 ? 'a' : 'b', 'x'.repeat(n % 50))),
  );
  expect(lengths(many)).toEqual(count(5_000).map((n) => n % 50));
  const large = await grpc.stream(
    'TokenizeStream',
    count(12).map((n) => to(n % 2 === 0 ? 'a' : 'b', 'y'.repeat(2_000_000 + n))),
  );
  expect(large.code).toBe(0);
  expect(large.answers.map((each) => (each as { tokens: { id: number }[] }).tokens[0]?.id)).toEqual(
    count(12).map((n) => 2_000_000 + n),
  );
});

test('a client that waits for initial metadata before its first message gets it', async () => {
  const fake = await fakeOf('a');
  const door = await doorOf({ a: [fake.origin] });
  const session = connect(`http://127.0.0.1:${door.port}`);
  cleanups.push(() => session.destroy());
  const stream = session.request({
    ':method': 'POST',
    ':path': '/tei_multiplexer.v1.TeiMultiplexer/EmbedStream',
    'content-type': 'application/grpc',
  });
  const status = await new Promise((resolve) => stream.on('response', (headers) => resolve(headers[':status'])));
  expect(status).toBe(200);
});

describe('a message that cannot be routed', () => {
  test.each([
    ['without a request', { target: { instance_name: 'a' } }, CODES.INVALID_ARGUMENT, 'Missing embed request'],
    ['without a target', { request: { inputs: 'x' } }, CODES.INVALID_ARGUMENT, 'Missing target'],
    ['for an unknown instance', to('x'), CODES.NOT_FOUND, "Instance 'x' not found"],
  ])('%s ends the stream after the answers before it', async (_, bad, code, details) => {
    const fake = await fakeOf('a');
    const door = await doorOf({ a: [fake.origin] });
    const seen = await client(door).stream('EmbedStream', [to('a', 'x'), to('a', 'xy'), bad, to('a', 'xyz')], {
      metadata: { 'x-fake-delay-ms': '20' },
    });
    expect(seen).toMatchObject({ code, details });
    expect(lengths(seen)).toEqual([1, 2]);
    await eventually('all is given back', () => door.open() === 0);
  });

  test('an empty stream is INVALID_ARGUMENT', async () => {
    const grpc = client(await doorOf({}));
    expect(await grpc.stream('EmbedStream', [])).toMatchObject({
      code: CODES.INVALID_ARGUMENT,
      details: 'Empty stream',
    });
    expect(await grpc.manyToOne('RerankStream', [])).toMatchObject({ code: CODES.INVALID_ARGUMENT });
  });

  test('a second instance in RerankStream is INVALID_ARGUMENT', async () => {
    const [a, b] = [await fakeOf('a'), await fakeOf('b')];
    const door = await doorOf({ a: [a.origin], b: [b.origin] });
    const rank = (name: string) => ({ target: { instance_name: name }, request: { query: 'q', text: 't' } });
    const seen = await client(door).manyToOne('RerankStream', [rank('a'), rank('a'), rank('b')]);
    expect(seen).toMatchObject({ code: CODES.INVALID_ARGUMENT, details: expect.stringContaining('one instance') });
    await eventually('all is given back', () => door.open() === 0);
  });
});

describe('faults', () => {
  test.each([
    ['reset connections', { 'x-fake-cut': '1' }, 'cut'],
    ['garbage', { 'x-fake-garbage': '1' }, 'cut'],
    ['no answer in time', { 'x-fake-stall': '1' }, 'timeout'],
    ['UNAVAILABLE', { 'x-fake-status': '14' }, 'server_error'],
    ['RESOURCE_EXHAUSTED', { 'x-fake-status': '8' }, 'rate_limited'],
  ])(
    '%s before the first answer: another endpoint answers all, without one the stream ends with a status',
    async (_, metadata, outcome) => {
      const [bad, good] = [await fakeOf('bad'), await fakeOf('good')];
      const door = await doorOf({ two: [bad.origin, good.origin], one: [bad.origin] }, { firstByteMs: 200 });
      const grpc = client(door);
      const more = { metadata: { ...metadata, 'x-fake-only': 'bad' } };
      const served = await grpc.stream(
        'EmbedStream',
        count(20).map((n) => to('two', 'x'.repeat(n))),
        more,
      );
      expect(served.code).toBe(0);
      expect(lengths(served)).toEqual(count(20));
      expect(door.attempts).toEqual([`two ${outcome}`, 'two success']);
      const failed = await grpc.stream(
        'EmbedStream',
        count(3).map(() => to('one')),
        more,
      );
      expect([CODES.UNAVAILABLE, CODES.RESOURCE_EXHAUSTED, CODES.INTERNAL]).toContain(failed.code);
      expect(door.open()).toBe(0);
      const ranked = await grpc.manyToOne(
        'RerankStream',
        count(3).map((n) => ({ target: { instance_name: 'two' }, request: { query: 'q', text: `${n}` } })),
        more,
      );
      expect(ranked).toMatchObject({ code: 0, answers: [{ ranks: [{ text: '1' }, { text: '2' }, { text: '3' }] }] });
    },
  );

  test('a refused connection: another endpoint answers', async () => {
    const good = await fakeOf('good');
    const door = await doorOf({ two: [`http://127.0.0.1:${await freePort()}`, good.origin] });
    expect(lengths(await client(door).stream('EmbedStream', [to('two', 'abc')]))).toEqual([3]);
    expect(door.attempts).toEqual(['two connect', 'two success']);
  });

  test.each([
    ['cut', { 'x-fake-cut': '1' }, CODES.UNAVAILABLE],
    ['its own status', { 'x-fake-status': '9' }, CODES.FAILED_PRECONDITION],
  ])('%s after some answers: those stay, and the stream ends with a status', async (_, metadata, code) => {
    const [bad, good] = [await fakeOf('bad'), await fakeOf('good')];
    const door = await doorOf({ two: [bad.origin, good.origin] });
    const call = open(client(door), 'EmbedStream', { ...metadata, 'x-fake-after': '2' });
    const answers: object[] = [];
    let end: { code: number } | undefined;
    call.on('data', (answer: object) => answers.push(answer));
    call.on('status', (status: { code: number }) => {
      end = status;
    });
    for (const n of count(3)) {
      call.write(to('two'));
      if (n < 3) await eventually('an answer', () => answers.length === n);
    }
    await eventually('the end', () => end !== undefined);
    expect(end?.code).toBe(code);
    expect(answers.length).toBe(2);
    await eventually('all is given back', () => door.open() === 0);
  });

  test('one instance fails, and answers of the other before it still come', async () => {
    const [bad, good] = [await fakeOf('bad'), await fakeOf('good')];
    const door = await doorOf({ bad: [bad.origin], good: [good.origin] });
    const requests = [to('good', 'x'), to('good', 'xy'), to('bad'), to('good', 'xyz')];
    const seen = await client(door).stream('EmbedStream', requests, {
      metadata: { 'x-fake-status': '9', 'x-fake-only': 'bad' },
    });
    expect(seen.code).toBe(CODES.FAILED_PRECONDITION);
    expect(lengths(seen)).toEqual([1, 2]);
    await eventually('all is given back', () => door.open() === 0);
  });

  const grpcHead = { ':status': 200, 'content-type': 'application/grpc' };
  test.each([
    [
      'more answers than requests',
      (stream: ServerHttp2Stream) => {
        stream.respond(grpcHead);
        stream.write(Buffer.concat([frameOf(), frameOf(), frameOf()]));
      },
    ],
    [
      'an end with status 0 before all answers',
      (stream: ServerHttp2Stream) => stream.respond({ ...grpcHead, 'grpc-status': '0' }, { endStream: true }),
    ],
    [
      'a length prefix above the limit',
      (stream: ServerHttp2Stream) => {
        stream.respond(grpcHead);
        stream.write(Buffer.alloc(5, 1).fill(0xff, 1));
      },
    ],
  ])('%s from an upstream ends the stream with a status, and nothing hangs', async (_, answer) => {
    const origin = await peerOf(answer);
    const door = await doorOf({ a: [origin] });
    const seen = await client(door).stream('EmbedStream', [to('a')]);
    expect([CODES.INTERNAL, CODES.RESOURCE_EXHAUSTED]).toContain(seen.code);
    expect(door.open()).toBe(0);
  });

  test('a client that leaves ends all its upstream streams', async () => {
    const [a, b] = [await fakeOf('a'), await fakeOf('b')];
    const door = await doorOf({ a: [a.origin], b: [b.origin] });
    const call = open(client(door), 'EmbedStream', { 'x-fake-stall': '1' });
    call.write(to('a'));
    call.write(to('b'));
    await eventually('both are there', () => a.seen.length + b.seen.length === 2);
    call.cancel();
    await eventually('both are cancelled', () => a.cancelled() + b.cancelled() === 2 && door.open() === 0);
    expect(door.ended).toEqual([CODES.CANCELLED]);
  });

  test('the deadline ends the stream and its upstream streams', async () => {
    const fake = await fakeOf('a');
    const door = await doorOf({ a: [fake.origin] });
    const seen = await client(door).stream('EmbedStream', [to('a')], {
      metadata: { 'x-fake-stall': '1' },
      options: { deadline: Date.now() + 200 },
    });
    expect(seen.code).toBe(CODES.DEADLINE_EXCEEDED);
    await eventually('it is cancelled', () => fake.cancelled() === 1 && door.open() === 0);
  });
});

describe('back-pressure', () => {
  test('a client that never reads stops the upstream, which stops being read', async () => {
    let written = 0;
    const origin = await peerOf((stream) => {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
      const answer = frameOf(Buffer.alloc(100_000));
      stream.on('data', () => {
        for (let index = 0; index < 100; index += 1) stream.write(answer, () => (written += answer.length));
      });
    });
    const door = await doorOf({ a: [origin] });
    const session = connect(`http://127.0.0.1:${door.port}`);
    cleanups.push(() => session.destroy());
    const stream = session.request({
      ':method': 'POST',
      ':path': '/tei_multiplexer.v1.TeiMultiplexer/EmbedStream',
      'content-type': 'application/grpc',
    });
    stream.on('error', () => {});
    for (let index = 0; index < 1_000; index += 1) stream.write(frameOf(Buffer.from('\n\x03\n\x01a\x12\x03\n\x01x')));
    let last = -1;
    await eventually(
      'nothing more is written',
      async () => {
        const before = last;
        last = written;
        return before === written && written > 0;
      },
      { intervalMs: 300 },
    );
    expect(written).toBeLessThan(20_000_000);
  });

  test('an upstream that never reads stops the client', async () => {
    const origin = await peerOf((stream) => {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
    });
    const door = await doorOf({ a: [origin] });
    const call = open(client(door), 'EmbedStream');
    let sent = 0;
    const message = to('a', 'x'.repeat(1_000_000));
    for (let index = 0; index < 60; index += 1) call.write(message, () => (sent += 1));
    let last = -1;
    await eventually(
      'nothing more is sent',
      () => {
        const before = last;
        last = sent;
        return before === sent && sent > 0;
      },
      { intervalMs: 300 },
    );
    expect(sent).toBeLessThan(40);
  });
});
