import { connect } from 'node:http2';
import { describe, expect, onTestFinished, test } from 'vitest';
import { CODES } from '../../../proxy/grpc/codes.ts';
import { frameOf } from '../../../proxy/grpc/frames.ts';
import { type Door, instance, openDoor } from '../http/door.ts';
import type { GrpcClient, Seen } from './door.ts';
import { embed, grpcOf, named, tei, teis } from './instances.ts';

/** Which instance answers, by its own word; else the code and the message. */
async function who(grpc: GrpcClient, target: object): Promise<string> {
  const { answers, code, details } = await grpc.unary('Info', { target });
  return code === 0 ? String(answers[0]?.['model_id']) : `${code} ${details}`;
}

const byIndex = (instanceIndex: number): object => ({ instance_index: instanceIndex });
const byModel = (modelId: string): object => ({ model_id: modelId });

describe('a target', () => {
  test('[T-1] [T-2] one door for all instances: the nine unary methods reach the one that is named', async () => {
    const [a, b] = await teis('a', 'b');
    const door = await openDoor();
    await door.put(tei('a', a.origin), tei('b', b.origin));
    const grpc = grpcOf(door);
    const answer = async (method: string, request?: object): Promise<unknown> =>
      (await grpc.unary(method, { target: named('b'), request })).answers[0];
    expect(await answer('Info')).toMatchObject({ model_id: 'b' });
    expect(await answer('Embed', { inputs: 'abc' })).toMatchObject({ embeddings: [3] });
    expect(await answer('EmbedSparse', { inputs: 'abc' })).toMatchObject({ sparse_embeddings: [{ index: 3 }] });
    expect(await answer('EmbedAll', { inputs: 'abc' })).toMatchObject({ token_embeddings: [{ embeddings: [3] }] });
    expect(await answer('Predict', { inputs: 'abc' })).toMatchObject({ predictions: [{ label: 'b' }] });
    expect(await answer('PredictPair', { inputs: ['a', 'b'] })).toMatchObject({ predictions: [{ label: 'a|b' }] });
    expect(await answer('Rerank', { query: 'q', texts: ['x'] })).toMatchObject({ ranks: [{ text: 'x' }] });
    expect(await answer('Tokenize', { inputs: 'abc' })).toMatchObject({ tokens: [{ text: 'abc' }] });
    expect(await answer('Decode', { ids: [1, 2] })).toMatchObject({ text: '1 2' });
    expect([a.seen.length, b.seen.length]).toEqual([0, 9]);
  });

  test('means an instance by its name, by namespace/name, and by no other CR’s name', async () => {
    const [a] = await teis('a');
    const door = await openDoor();
    await door.put(tei('a', a.origin, { instanceName: 'bge' }), tei('b', a.origin, { named: false }));
    const grpc = grpcOf(door);
    expect(await who(grpc, named('bge'))).toBe('a');
    expect(await who(grpc, named('ml/a'))).toBe('a');
    expect(await who(grpc, named('ml/b'))).toBe('a');
    expect(await who(grpc, named('a'))).toBe("5 Instance 'a' not found");
    expect(await who(grpc, named('b'))).toBe("5 Instance 'b' not found");
  });

  test('[T-6] by index: n is the n-th by name, of all that have their name; 0 the next that runs', async () => {
    const [a, b, d] = await teis('a', 'b', 'd');
    const door = await openDoor();
    await door.put(tei('d', d.origin), tei('a', a.origin), tei('z', a.origin, { named: false }), stopped('c'));
    await door.put(tei('b', b.origin));
    const grpc = grpcOf(door);
    expect(await who(grpc, byIndex(1))).toBe('a');
    expect(await who(grpc, byIndex(2))).toBe('b');
    expect(await who(grpc, byIndex(3))).toBe("14 Instance 'c' is not running (status: unavailable)");
    expect(await who(grpc, byIndex(4))).toBe('d');
    expect(await who(grpc, byIndex(5))).toBe('5 Instance index 5 not found: there are 4 instances');
    const turns = [];
    for (let n = 0; n < 6; n += 1) turns.push(await who(grpc, byIndex(0)));
    expect(turns).toEqual(['a', 'b', 'd', 'a', 'b', 'd']);
  });

  test('by model id: the instances that run it take turns, those that do not are passed over', async () => {
    const [a, b] = await teis('a', 'b');
    const door = await openDoor();
    const model = 'BAAI/bge';
    await door.put(tei('a', a.origin, { model }), stopped('c', { model }), tei('b', b.origin, { model }));
    await door.put(instance('h', { name: 'h', url: a.origin }, { model }));
    const grpc = grpcOf(door);
    const turns = [];
    for (let n = 0; n < 4; n += 1) turns.push(await who(grpc, byModel(model)));
    expect(turns).toEqual(['a', 'b', 'a', 'b']);
    expect(await who(grpc, byModel('BAAI/none'))).toBe("5 Model 'BAAI/none' not found");
    await door.remove(tei('a', ''), tei('b', ''));
    expect(await who(grpc, byModel(model))).toBe("14 Instance 'c' is not running (status: unavailable)");
  });

  test('in both numberings: of fields 2 and 3 the text is a model id, the number an index', async () => {
    const [a, b] = await teis('a', 'b');
    const door = await openDoor();
    await door.put(tei('a', a.origin, { model: 'one' }), tei('b', b.origin, { model: 'two' }));
    const text = (field: number, value: string): Buffer =>
      Buffer.from([(field << 3) | 2, value.length, ...Buffer.from(value)]);
    const number = (field: number, value: number): Buffer => Buffer.from([field << 3, value]);
    const infoOf = (target: Buffer): Promise<string> => rawInfo(door, Buffer.from([0x0a, target.length, ...target]));
    expect(await infoOf(text(2, 'two'))).toContain('\x22\x01b');
    expect(await infoOf(text(3, 'two'))).toContain('\x22\x01b');
    expect(await infoOf(number(2, 2))).toContain('\x22\x01b');
    expect(await infoOf(number(3, 2))).toContain('\x22\x01b');
    expect(await infoOf(text(1, 'a'))).toContain('\x22\x01a');
  });

  test.each<[string, object, number, string]>([
    ['is missing', { request: { inputs: 'x' } }, CODES.INVALID_ARGUMENT, 'Missing target'],
    ['is empty', embed({}), CODES.INVALID_ARGUMENT, 'No routing specified'],
    ['has an empty name', embed(named('')), CODES.INVALID_ARGUMENT, 'Instance name cannot be empty'],
    ['has an empty model id', embed(byModel('')), CODES.INVALID_ARGUMENT, 'Model id cannot be empty'],
    ['is unknown', embed(named('x')), CODES.NOT_FOUND, "Instance 'x' not found"],
    ['has no request beside it', { target: named('a') }, CODES.INVALID_ARGUMENT, 'Missing embed request'],
    ['speaks HTTP', embed(named('h')), CODES.UNIMPLEMENTED, "Instance 'h' speaks HTTP; call it on the HTTP port"],
    ['has no endpoint', embed(named('c')), CODES.UNAVAILABLE, "Instance 'c' is not running (status: unavailable)"],
  ])('[T-12] that %s: %j is %i %s', async (_, request, code, details) => {
    const [a] = await teis('a');
    const door = await openDoor();
    await door.put(tei('a', a.origin), instance('h', { name: 'h', url: a.origin }), stopped('c'));
    const grpc = grpcOf(door);
    expect(await grpc.unary('Embed', request)).toMatchObject({ code, details });
    expect(await grpc.stream('EmbedStream', [request])).toMatchObject({ code, details });
    expect(a.seen).toEqual([]);
    expect((await grpc.unary('Embed', embed(named('a')))).code).toBe(CODES.OK);
  });
});

describe('plain tei.v1', () => {
  test('goes where metadata says: an instance, a model, or the only instance there is', async () => {
    const [a, b] = await teis('a', 'b');
    const door = await openDoor();
    await door.put(tei('a', a.origin, { model: 'one' }), instance('h', { name: 'h', url: a.origin }));
    const grpc = grpcOf(door, 'Info');
    const info = async (metadata: Record<string, string>): Promise<string> =>
      said(await grpc.unary('Info', {}, { metadata }));
    expect(await info({})).toBe('a');
    await door.put(tei('b', b.origin, { model: 'two' }));
    expect(await info({})).toBe(
      '3 Name an instance in the metadata x-tei-instance, or a model in x-tei-model: there are 2 instances',
    );
    expect(await info({ 'x-tei-instance': 'b' })).toBe('b');
    expect(await info({ 'x-tei-instance': 'ml/a' })).toBe('a');
    expect(await info({ 'x-tei-model': 'two' })).toBe('b');
    expect(await info({ 'x-tei-model': 'three' })).toBe("5 Model 'three' not found");
    expect(await info({ 'x-tei-instance': 'x' })).toBe("5 Instance 'x' not found");
    expect(await info({ 'x-tei-instance': '' })).toBe('3 Instance name cannot be empty');
    expect(await info({ 'x-tei-instance': 'a', 'x-tei-model': 'one' })).toBe(
      '3 The target names several instances; set one of its fields',
    );
  });

  test('without any instance says so', async () => {
    const door = await openDoor();
    const seen = await grpcOf(door, 'Embed').unary('Embed', { inputs: 'x' });
    expect(seen).toMatchObject({ code: CODES.INVALID_ARGUMENT, details: expect.stringContaining('there are 0') });
  });

  test('streams pass both ways', async () => {
    const [a] = await teis('a');
    const door = await openDoor();
    await door.put(tei('a', a.origin));
    const { code, answers } = await grpcOf(door, 'Embed').stream('EmbedStream', [{ inputs: 'a' }, { inputs: 'bc' }]);
    expect([code, answers.map(({ embeddings }) => embeddings)]).toEqual([0, [[1], [2]]]);
  });
});

describe('streams', () => {
  test('[T-3] the seven that go both ways, and RerankStream', async () => {
    const [a] = await teis('a');
    const door = await openDoor();
    await door.put(tei('a', a.origin));
    const grpc = grpcOf(door);
    const to = (request: object): object => ({ target: named('a'), request });
    const answers = async (method: string, ...requests: object[]): Promise<unknown> =>
      (await grpc.stream(method, requests.map(to))).answers;
    expect(await answers('EmbedStream', { inputs: 'a' }, { inputs: 'bc' })).toMatchObject([
      { embeddings: [1] },
      { embeddings: [2] },
    ]);
    expect(await answers('EmbedSparseStream', { inputs: 'a' })).toMatchObject([{ sparse_embeddings: [{ index: 1 }] }]);
    expect(await answers('EmbedAllStream', { inputs: 'a' })).toMatchObject([
      { token_embeddings: [{ embeddings: [1] }] },
    ]);
    expect(await answers('PredictStream', { inputs: 'a' })).toMatchObject([{ predictions: [{ score: 1 }] }]);
    expect(await answers('PredictPairStream', { inputs: ['a', 'b'] })).toMatchObject([
      { predictions: [{ label: 'a|b' }] },
    ]);
    expect(await answers('TokenizeStream', { inputs: 'a' })).toMatchObject([{ tokens: [{ text: 'a' }] }]);
    expect(await answers('DecodeStream', { ids: [7] })).toMatchObject([{ text: '7' }]);
    const texts = ['x', 'y'].map((text) => to({ query: 'q', text }));
    expect((await grpc.manyToOne('RerankStream', texts)).answers).toMatchObject([
      { ranks: [{ text: 'x' }, { text: 'y' }] },
    ]);
  });

  test('[T-7] each message goes where its own target says; answers come in the order of requests', async () => {
    const [a, b] = await teis('a', 'b');
    const door = await openDoor();
    const model = 'BAAI/bge';
    await door.put(tei('a', a.origin, { model }), tei('b', b.origin, { model }));
    const targets = [named('b'), named('a'), byIndex(2), named('ml/b'), byIndex(1), byModel(model), byModel(model)];
    const { code, answers } = await grpcOf(door).stream(
      'PredictStream',
      targets.map((target) => embed(target)),
    );
    const labels = answers.map(({ predictions }) => (predictions as { label: string }[])[0]?.label);
    expect([code, labels.slice(0, 5).join(''), labels.slice(5).sort().join('')]).toEqual([0, 'babba', 'ab']);
  });

  test('a message for nobody ends the stream after the answers before it', async () => {
    const [a] = await teis('a');
    const door = await openDoor();
    await door.put(tei('a', a.origin));
    const seen = await grpcOf(door).stream('EmbedStream', [embed(named('a')), embed(named('x')), embed(named('a'))]);
    expect(seen).toMatchObject({
      code: CODES.NOT_FOUND,
      details: "Instance 'x' not found",
      answers: [{ embeddings: [5] }],
    });
  });

  test('RerankStream is for one instance: a second is INVALID_ARGUMENT, the same model twice is not', async () => {
    const [a, b] = await teis('a', 'b');
    const door = await openDoor();
    const model = 'BAAI/rerank';
    await door.put(tei('a', a.origin, { model }), tei('b', b.origin, { model }));
    const grpc = grpcOf(door);
    const texts = (...targets: object[]): object[] =>
      targets.map((target) => ({ target, request: { query: 'q', text: 'x' } }));
    expect(await grpc.manyToOne('RerankStream', texts(named('a'), named('b')))).toMatchObject({
      code: CODES.INVALID_ARGUMENT,
      details: 'All messages of this call have to be for one instance',
    });
    expect((await grpc.manyToOne('RerankStream', texts(named('a'), named('ml/a')))).code).toBe(CODES.OK);
    expect((await grpc.manyToOne('RerankStream', texts(byModel(model), byModel(model)))).code).toBe(CODES.OK);
  });
});

/** An instance that has no server now. */
function stopped(name: string, fields: object = {}): Record<string, unknown> {
  return instance(name, { name, scheme: 'http' }, { protocol: 'GRPC', ...fields });
}

function said({ code, details, answers }: Seen): string {
  return code === 0 ? String(answers[0]?.['model_id']) : `${code} ${details}`;
}

/** The bytes of TeiMultiplexer.Info's answer to a message, as text. */
function rawInfo({ grpcPort }: Door, message: Buffer): Promise<string> {
  const session = connect(`http://127.0.0.1:${grpcPort}`);
  onTestFinished(() => session.destroy());
  const stream = session.request({
    ':method': 'POST',
    ':path': '/tei_multiplexer.v1.TeiMultiplexer/Info',
    'content-type': 'application/grpc',
  });
  stream.end(frameOf(message));
  const chunks: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  return new Promise((resolve) => stream.on('close', () => resolve(Buffer.concat(chunks).toString('latin1'))));
}

test('an instance whose url leads back to Sluice ends after eight calls', async () => {
  const door = await openDoor();
  const headers = [{ name: 'x-tei-instance', value: 'loop' }];
  const loop = tei('loop', `http://127.0.0.1:${door.grpcPort}`, { retry: { attempts: 1 } }, { headers });
  await door.put(loop);
  expect(await who(grpcOf(door), named('loop'))).toMatch(/^3 .*leads back to Sluice/);
  expect(door.log.filter((line) => line.includes('"loop"')).length).toBeLessThanOrEqual(9);
});
