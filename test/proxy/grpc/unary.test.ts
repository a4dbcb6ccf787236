import { connect, constants, type ServerHttp2Stream } from 'node:http2';
import { afterEach, describe, expect, test } from 'vitest';
import { CODES } from '../../../proxy/grpc/codes.ts';
import { frameOf } from '../../../proxy/grpc/frames.ts';
import { eventually } from '../../support/eventually.ts';
import { type FakeTei, startFakeTei } from '../../support/fake-tei.ts';
import { freePort } from '../../support/ports.ts';
import { clientOf, type Door, type DoorOptions, type GrpcClient, startDoor } from './door.ts';
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

const embed = (name: string, inputs = 'hello') => ({ target: { instance_name: name }, request: { inputs } });
const refused = async (): Promise<string> => `http://127.0.0.1:${await freePort()}`;

test('the nine unary methods are answered by the instance that is named', async () => {
  const [a, b] = [await fakeOf('a'), await fakeOf('b')];
  const grpc = client(await doorOf({ a: [a.origin], b: [b.origin] }));
  const target = { instance_name: 'b' };
  const answer = async (method: string, request?: object) => (await grpc.unary(method, { target, request })).answers[0];
  expect(await answer('Info')).toMatchObject({ model_id: 'b' });
  expect(await answer('Embed', { inputs: 'abc' })).toMatchObject({ embeddings: [3] });
  expect(await answer('EmbedSparse', { inputs: 'abc' })).toMatchObject({ sparse_embeddings: [{ index: 3 }] });
  expect(await answer('EmbedAll', { inputs: 'abc' })).toMatchObject({ token_embeddings: [{ embeddings: [3] }] });
  expect(await answer('Predict', { inputs: 'abc' })).toMatchObject({ predictions: [{ score: 3, label: 'b' }] });
  expect(await answer('PredictPair', { inputs: ['a', 'b'] })).toMatchObject({ predictions: [{ label: 'a|b' }] });
  expect(await answer('Rerank', { query: 'q', texts: ['x', 'y'] })).toMatchObject({
    ranks: [{ text: 'x' }, { text: 'y' }],
  });
  expect(await answer('Tokenize', { inputs: 'abc' })).toMatchObject({ tokens: [{ text: 'abc' }] });
  expect(await answer('Decode', { ids: [1, 2] })).toMatchObject({ text: '1 2' });
  expect(a.seen).toEqual([]);
});

test('plain tei.v1 calls go to the instance that metadata names', async () => {
  const fake = await fakeOf('a');
  const door = await doorOf({ a: [fake.origin] });
  const metadata = { 'x-tei-instance': 'a' };
  expect(await client(door, 'Embed').unary('Embed', { inputs: 'abc' }, { metadata })).toMatchObject({
    code: 0,
    answers: [{ embeddings: [3] }],
  });
  expect(fake.seen[0]?.get('x-tei-instance')).toEqual([]);
  expect(await client(door, 'Embed').unary('Embed', { inputs: 'abc' })).toMatchObject({ code: CODES.NOT_FOUND });
});

test("metadata goes both ways, a client's credentials never", async () => {
  const fake = await fakeOf('a');
  const grpc = client(await doorOf({ a: [fake.origin] }));
  const seen = await grpc.unary('Embed', embed('a'), {
    metadata: {
      traceparent: '00-1-2-01',
      'x-own-bin': Buffer.from([0, 255]),
      authorization: 'Bearer client',
      'x-api-key': 'k',
      cookie: 'c',
    },
  });
  const [got] = fake.seen;
  expect(got?.get('traceparent')).toEqual(['00-1-2-01']);
  expect(got?.get('x-own-bin')).toEqual([Buffer.from([0, 255])]);
  expect(got?.get('authorization')).toEqual(['Bearer upstream']);
  expect(got?.get('x-api-key')).toEqual([]);
  expect(got?.get('cookie')).toEqual([]);
  expect(seen.head?.get('x-total-time')).toEqual(['7']);
  expect(seen.trailers?.get('x-fake-trailer')).toEqual(['said last']);
  expect(seen.trailers?.get('x-sluice-attempts')).toEqual(['0']);
});

test("an upstream's own status passes as it came: code, message, details, metadata", async () => {
  const fake = await fakeOf('a');
  const grpc = client(await doorOf({ a: [fake.origin] }));
  for (const code of [CODES.FAILED_PRECONDITION, CODES.UNAVAILABLE, CODES.RESOURCE_EXHAUSTED, CODES.INTERNAL]) {
    const seen = await grpc.unary('Embed', embed('a'), {
      metadata: { 'x-fake-status': String(code), 'x-fake-details': 'what went wrong' },
    });
    expect(seen).toMatchObject({ code, details: 'as told: ü' });
    expect(seen.trailers?.get('grpc-status-details-bin')).toEqual([Buffer.from('what went wrong')]);
    expect(seen.head?.get('x-fake-name')).toEqual(['a']);
  }
});

test.each([
  ['Missing target', { request: { inputs: 'x' } }, CODES.INVALID_ARGUMENT],
  ['No routing specified', { target: {}, request: { inputs: 'x' } }, CODES.INVALID_ARGUMENT],
  ['Instance name cannot be empty', embed(''), CODES.INVALID_ARGUMENT],
  ['Missing embed request', { target: { instance_name: 'a' } }, CODES.INVALID_ARGUMENT],
  ["Instance 'x' not found", embed('x'), CODES.NOT_FOUND],
])('%s', async (details, request, code) => {
  const fake = await fakeOf('a');
  const grpc = client(await doorOf({ a: [fake.origin] }));
  expect(await grpc.unary('Embed', request)).toMatchObject({ code, details });
});

test('a message above the limit is RESOURCE_EXHAUSTED, one of 20 MB passes both ways', async () => {
  const fake = await fakeOf('a');
  const door = await doorOf({ a: [fake.origin] }, { maxMessageBytes: 21_000_000 });
  const grpc = client(door);
  expect(await grpc.unary('Embed', embed('a', 'x'.repeat(21_000_001)))).toMatchObject({
    code: CODES.RESOURCE_EXHAUSTED,
  });
  const text = 'y'.repeat(20_000_000);
  const seen = await grpc.unary('Tokenize', { target: { instance_name: 'a' }, request: { inputs: text } });
  expect(seen.code).toBe(0);
  expect((seen.answers[0] as { tokens: { text: string }[] }).tokens[0]?.text.length).toBe(text.length);
});

test('the deadline goes upstream less what has passed, and ends the call there and here', async () => {
  const fake = await fakeOf('a');
  const door = await doorOf({ a: [fake.origin] });
  const grpc = client(door);
  const seen = await grpc.unary('Embed', embed('a'), {
    metadata: { 'x-fake-stall': '1' },
    options: { deadline: Date.now() + 300 },
  });
  expect(seen.code).toBe(CODES.DEADLINE_EXCEEDED);
  await eventually('the upstream call ends', () => fake.cancelled() === 1);
  await eventually('all is given back', () => door.open() === 0);
});

test("without a deadline the destination's own time is sent on and kept", async () => {
  const fake = await fakeOf('a');
  const grpc = client(await doorOf({ a: [fake.origin] }, { timeoutMs: 200 }));
  const before = performance.now();
  const seen = await grpc.unary('Embed', embed('a'), { metadata: { 'x-fake-stall': '1' } });
  // The server knows the time as well, and may be the first to say that it is over.
  expect(seen).toMatchObject({ code: CODES.DEADLINE_EXCEEDED, details: expect.stringMatching(/timeout|deadline/i) });
  expect(performance.now() - before).toBeGreaterThan(150);
});

test('a client that cancels cancels upstream', async () => {
  const fake = await fakeOf('a');
  const door = await doorOf({ a: [fake.origin] });
  const grpc = client(door);
  const call = (grpc.raw['Embed'] as unknown as (...args: unknown[]) => { cancel: () => void }).call(
    grpc.raw,
    embed('a'),
    (await import('@grpc/grpc-js')).Metadata.fromHttp2Headers({ 'x-fake-stall': '1' }),
    () => {},
  );
  await eventually('it is there', () => fake.seen.length === 1);
  call.cancel();
  await eventually('it is cancelled', () => fake.cancelled() === 1);
  await eventually('all is given back', () => door.open() === 0 && door.ended[0] === CODES.CANCELLED);
  expect(door.attempts).toEqual(['a cancelled']);
});

describe('faults', () => {
  const faults: [string, Record<string, string>, string][] = [
    ['reset connections', { 'x-fake-cut': '1' }, 'cut'],
    ['garbage', { 'x-fake-garbage': '1' }, 'cut'],
    ['no answer in time', { 'x-fake-stall': '1' }, 'timeout'],
    ['UNAVAILABLE', { 'x-fake-status': '14' }, 'server_error'],
    ['RESOURCE_EXHAUSTED', { 'x-fake-status': '8' }, 'rate_limited'],
  ];
  test.each(faults)(
    '%s: another endpoint answers, without one the call ends with a status',
    async (_, metadata, outcome) => {
      const [bad, good] = [await fakeOf('bad'), await fakeOf('good')];
      const door = await doorOf({ two: [bad.origin, good.origin], one: [bad.origin] }, { firstByteMs: 200 });
      const grpc = client(door);
      const more = { metadata: { ...metadata, 'x-fake-only': 'bad' } };
      const served = await grpc.unary('Embed', embed('two'), more);
      expect(served).toMatchObject({ code: 0, answers: [{ embeddings: [5] }] });
      expect(served.head?.get('x-fake-name')).toEqual(['good']);
      expect(door.attempts).toEqual([`two ${outcome}`, 'two success']);
      const failed = await grpc.unary('Embed', embed('one'), more);
      expect([CODES.UNAVAILABLE, CODES.RESOURCE_EXHAUSTED, CODES.INTERNAL]).toContain(failed.code);
      expect(door.open()).toBe(0);
    },
  );

  test('a refused connection: another endpoint answers; without one UNAVAILABLE says that it could not connect', async () => {
    const good = await fakeOf('good');
    const bad = await refused();
    const door = await doorOf({ two: [bad, good.origin], one: [bad] });
    const grpc = client(door);
    expect(await grpc.unary('Embed', embed('two'))).toMatchObject({ code: 0 });
    const failed = await grpc.unary('Embed', embed('one'));
    expect(failed).toMatchObject({
      code: CODES.UNAVAILABLE,
      details: expect.stringContaining('Failed to connect to backend'),
    });
    expect(door.attempts).toEqual(['two connect', 'two success', 'one connect']);
  });

  test.each([
    ['INTERNAL', '13'],
    ['INVALID_ARGUMENT', '3'],
  ])("%s is the upstream's word: nobody else is asked", async (_, code) => {
    const [bad, good] = [await fakeOf('bad'), await fakeOf('good')];
    const door = await doorOf({ two: [bad.origin, good.origin] });
    const metadata = { 'x-fake-status': code, 'x-fake-only': 'bad' };
    expect(await client(door).unary('Embed', embed('two'), { metadata })).toMatchObject({ code: Number(code) });
    expect(good.seen).toEqual([]);
  });

  test('a stream reset with whatever code goes to another endpoint', async () => {
    const good = await fakeOf('good');
    for (const code of [0, 1, 2, 3, 7, 8, 11, 13]) {
      const peer = await startPeer((stream) => stream.close(code));
      cleanups.push(peer.close);
      const door = await doorOf({ two: [peer.origin, good.origin], one: [peer.origin] });
      expect(await client(door).unary('Embed', embed('two'))).toMatchObject({ code: 0 });
      const failed = await client(door).unary('Embed', embed('one'));
      expect(failed.code).toBeGreaterThan(0);
    }
  });

  const half = frameOf(Buffer.alloc(50)).subarray(0, 20);
  const answering =
    (body: Buffer | string, { type = 'application/grpc', withStatus = true } = {}) =>
    (stream: ServerHttp2Stream): void => {
      stream.respond({ ':status': 200, 'content-type': type }, { waitForTrailers: withStatus });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      stream.end(body);
    };
  test.each([
    ['an empty answer', answering('')],
    ['an answer cut in its message', answering(half)],
    ['an answer without a status', answering(frameOf(), { withStatus: false })],
    ['HTML', answering('<html>', { type: 'text/html' })],
    ['HTTP 503', (stream: ServerHttp2Stream) => stream.respond({ ':status': 503 }, { endStream: true })],
    [
      'a connection that ends in mid-answer',
      (stream: ServerHttp2Stream) => {
        stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
        stream.write(half, () => stream.session?.destroy());
      },
    ],
  ])('%s goes to another endpoint', async (_, answer) => {
    const good = await fakeOf('good');
    const peer = await startPeer(answer);
    cleanups.push(peer.close);
    const door = await doorOf({ two: [peer.origin, good.origin], one: [peer.origin] });
    expect(await client(door).unary('Embed', embed('two'))).toMatchObject({ code: 0, answers: [{ embeddings: [5] }] });
    const failed = await client(door).unary('Embed', embed('one'));
    expect([CODES.INTERNAL, CODES.UNAVAILABLE, CODES.UNKNOWN]).toContain(failed.code);
  });

  test('a stream that the upstream refused unseen is sent to it once more, and counts as one attempt', async () => {
    let asked = 0;
    const peer = await startPeer((stream) => {
      asked += 1;
      if (asked === 1) stream.close(constants.NGHTTP2_REFUSED_STREAM);
      else answering(frameOf())(stream);
    });
    cleanups.push(peer.close);
    const door = await doorOf({ one: [peer.origin] });
    expect(await client(door).unary('Embed', embed('one'))).toMatchObject({ code: 0 });
    expect(door.attempts).toEqual(['one success']);
  });

  test('a kept connection that dies under a call is replaced by a new one, and counts as one attempt', async () => {
    let asked = 0;
    const peer = await startPeer((stream) => {
      asked += 1;
      if (asked === 2) stream.session?.destroy();
      else answering(frameOf())(stream);
    });
    cleanups.push(peer.close);
    const door = await doorOf({ one: [peer.origin] });
    for (const _ of [1, 2]) expect(await client(door).unary('Embed', embed('one'))).toMatchObject({ code: 0 });
    expect(asked).toBe(3);
    expect(door.attempts).toEqual(['one success', 'one success']);
  });

  test('GOAWAY loses no call, and the next ones go over a new connection', async () => {
    const fake = await fakeOf('a');
    const door = await doorOf({ a: [fake.origin] });
    const grpc = client(door);
    const slow = grpc.unary('Embed', embed('a'), { metadata: { 'x-fake-delay-ms': '200' } });
    await eventually('it is under way', () => fake.seen.length === 1);
    const rest = Array.from({ length: 20 }, (_, index) =>
      grpc.unary('Embed', embed('a'), index === 5 ? { metadata: { 'x-fake-goaway': '1' } } : {}),
    );
    expect((await Promise.all([slow, ...rest])).map(({ code }) => code)).toEqual(Array(21).fill(0));
    expect((await grpc.unary('Embed', embed('a'))).code).toBe(0);
    expect(fake.accepted()).toBeGreaterThan(1);
  });

  test('after an upstream restart the next call succeeds within a second', async () => {
    const port = await freePort();
    const first = await startFakeTei('first', port);
    const grpc = client(await doorOf({ a: [first.origin] }));
    expect((await grpc.unary('Embed', embed('a'))).code).toBe(0);
    await first.close();
    await fakeOf('second', port);
    const before = performance.now();
    const seen = await grpc.unary('Info', { target: { instance_name: 'a' } });
    expect(seen.answers).toMatchObject([{ model_id: 'second' }]);
    expect(performance.now() - before).toBeLessThan(1_000);
  });
});

describe('a client that misbehaves', () => {
  async function say(
    door: Door,
    body: Buffer,
    { path = '/tei_multiplexer.v1.TeiMultiplexer/Embed', headers = {} }: { path?: string; headers?: object } = {},
  ): Promise<string | undefined> {
    const session = connect(`http://127.0.0.1:${door.port}`);
    cleanups.push(() => session.destroy());
    const stream = session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...headers,
    });
    const answer = new Promise<string | undefined>((resolve) => {
      let said = '';
      const note = (got: Record<string, unknown>): void => {
        said = String(got['grpc-status'] ?? got[':status'] ?? said);
      };
      stream.on('response', note);
      stream.on('trailers', note);
      stream.on('error', () => {});
      stream.on('close', () => resolve(said));
      stream.resume();
    });
    stream.end(body);
    return answer;
  }

  test('garbage, a cut frame, no message, two messages, an early end, a bad timeout: INVALID_ARGUMENT each, and others are served', async () => {
    const fake = await fakeOf('a');
    const door = await doorOf({ a: [fake.origin] });
    const whole = frameOf(Buffer.from('\n\x03\n\x01a\x12\x03\n\x01x'));
    expect(await say(door, frameOf(Buffer.alloc(20, 0xff)))).toBe('3');
    expect(await say(door, whole.subarray(0, 8))).toBe('3');
    expect(await say(door, Buffer.alloc(0))).toBe('3');
    expect(await say(door, Buffer.alloc(3))).toBe('3');
    expect(await say(door, Buffer.concat([whole, whole]))).toBe('3');
    expect(await say(door, Buffer.from(whole), { headers: { 'grpc-timeout': 'soon' } })).toBe('3');
    expect(await say(door, Buffer.from([0, 0xff, 0xff, 0xff, 0xff]))).toBe('8');
    expect(await say(door, Buffer.from(whole), { path: '/nobody/knows' })).toBe('12');
    const compressed = Buffer.from(whole);
    compressed[0] = 1;
    expect(await say(door, compressed)).toBe('12');
    expect(await say(door, whole, { headers: { 'content-type': 'application/json' } })).toBe('415');
    expect((await client(door).unary('Embed', embed('a'))).code).toBe(0);
    expect(door.open()).toBe(0);
  });

  test('64 first calls at once are all answered', async () => {
    const fake = await fakeOf('a');
    const grpc = client(await doorOf({ a: [fake.origin] }));
    const seen = await Promise.all(Array.from({ length: 64 }, () => grpc.unary('Embed', embed('a'))));
    expect(seen.map(({ code }) => code)).toEqual(Array(64).fill(0));
  });
});
