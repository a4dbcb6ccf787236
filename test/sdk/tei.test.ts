import { connect, createServer, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { METHOD_BY_PATH } from '../../proxy/grpc/methods.ts';
import { tei, teis } from '../proxy/grpc/instances.ts';
import { type Door, openDoor } from '../proxy/http/door.ts';
import { clientKeys, keyed } from '../proxy/http/door-credentials.ts';
import { eventually } from '../support/eventually.ts';
import { type CallOptions, type Grpcio, type Seen, startGrpcio } from './tei.ts';

const SERVICE = 'tei_multiplexer.v1.TeiMultiplexer';

describe('grpcio for Python', () => {
  let grpcio: Grpcio;
  beforeAll(() => {
    grpcio = startGrpcio();
  });
  afterAll(() => grpcio.stop());

  /** Instances a and b, whose answers say who gave them. */
  async function served(): Promise<Door> {
    const [a, b] = await teis('a', 'b');
    const door = await openDoor({ startsAndStops: true });
    await door.put(tei('a', a.origin, { model: 'bge' }), tei('b', b.origin, { model: 'e5' }));
    return door;
  }

  const embed = (door: Door, target: object | undefined, options: CallOptions = {}): Promise<Seen> =>
    grpcio.call(
      door.grpcPort,
      `${SERVICE}/Embed`,
      [{ ...(target && { target }), request: { inputs: 'hello' } }],
      options,
    );
  const A = { instance_name: 'a' };
  const BY_A = [{ embeddings: [5], metadata: { compute_chars: 1 } }];

  test.each([
    ['Info', {}, [{ model_id: 'a', version: '1.9.3' }]],
    ['Embed', { inputs: 'hello' }, BY_A],
    ['EmbedSparse', { inputs: 'hello' }, [{ sparse_embeddings: [{ index: 5, value: 1 }] }]],
    ['EmbedAll', { inputs: 'hello' }, [{ token_embeddings: [{ embeddings: [5] }] }]],
    ['Predict', { inputs: 'hello' }, [{ predictions: [{ score: 5, label: 'a' }] }]],
    ['PredictPair', { inputs: ['x', 'y'] }, [{ predictions: [{ score: 1, label: 'x|y' }] }]],
    ['Rerank', { query: 'q', texts: ['x'] }, [{ ranks: [{ text: 'x', score: 1 }] }]],
    ['Tokenize', { inputs: 'hello' }, [{ tokens: [{ id: 5, text: 'hello' }] }]],
    ['Decode', { ids: [1, 2] }, [{ text: '1 2' }]],
  ])('[T-1] [T-2] [T-4] calls %s, wrapped with its target', async (method, request, answers) => {
    const door = await served();
    const message = method === 'Info' ? { target: A } : { target: A, request };
    const seen = await grpcio.call(door.grpcPort, `${SERVICE}/${method}`, [message]);
    expect(seen).toMatchObject({ code: 'OK', answers });
    expect(seen.initial).toMatchObject({ 'x-fake-name': 'a' });
    expect(seen.trailing).toMatchObject({ 'x-sluice-backend': 'a', 'x-sluice-attempts': '1' });
    const service = METHOD_BY_PATH.get(`/${SERVICE}/${method}`)?.upstreamPath.slice(1) ?? '';
    const plain = await grpcio.call(door.grpcPort, service, [request], { metadata: { 'x-tei-instance': 'a' } });
    expect(plain).toMatchObject({ code: 'OK', answers });
  });

  test.each([
    ['EmbedStream', { inputs: 'hello' }, { embeddings: [5] }],
    ['EmbedSparseStream', { inputs: 'hello' }, { sparse_embeddings: [{ index: 5, value: 1 }] }],
    ['EmbedAllStream', { inputs: 'hello' }, { token_embeddings: [{ embeddings: [5] }] }],
    ['PredictStream', { inputs: 'hello' }, { predictions: [{ score: 5, label: 'a' }] }],
    ['PredictPairStream', { inputs: ['x', 'y'] }, { predictions: [{ score: 1, label: 'x|y' }] }],
    ['TokenizeStream', { inputs: 'hello' }, { tokens: [{ id: 5, text: 'hello' }] }],
    ['DecodeStream', { ids: [1, 2] }, { text: '1 2' }],
  ])('[T-3] %s: twenty of them in one stream', async (method, request, answer) => {
    const door = await served();
    const requests = Array.from({ length: 20 }, () => ({ target: A, request }));
    const seen = await grpcio.call(door.grpcPort, `${SERVICE}/${method}`, requests);
    expect(seen.code).toBe('OK');
    expect(seen.answers).toHaveLength(20);
    for (const each of seen.answers) expect(each).toMatchObject(answer);
  });

  test('[T-3] RerankStream: many texts, one ranking; a second instance is refused', async () => {
    const door = await served();
    const text = (target: object, text: string): object => ({ target, request: { query: 'q', text } });
    const method = `${SERVICE}/RerankStream`;
    const seen = await grpcio.call(door.grpcPort, method, [text(A, 'x'), text(A, 'y')]);
    expect(seen).toMatchObject({ code: 'OK', answers: [{ ranks: [{ text: 'x' }, { index: 1, text: 'y' }] }] });
    const refused = await grpcio.call(door.grpcPort, method, [text(A, 'x'), text({ instance_name: 'b' }, 'y')]);
    expect(refused).toMatchObject({ code: 'INVALID_ARGUMENT', answers: [] });
  });

  test('[T-7] each message of a stream goes to its own instance, answers come in the order of requests', async () => {
    const door = await served();
    const names = ['a', 'b', 'b', 'a', 'b'];
    const requests = names.map((name) => ({ target: { instance_name: name }, request: { inputs: 'hello' } }));
    const seen = await grpcio.call(door.grpcPort, `${SERVICE}/PredictStream`, requests);
    expect(seen.answers).toMatchObject(names.map((label) => ({ predictions: [{ label }] })));
  });

  test('[T-6] targets by name, model and index, in both numberings', async () => {
    const door = await served();
    const labelOf = async (target: object, by?: 'documented'): Promise<unknown> => {
      const { initial, details } = await embed(door, target, by === undefined ? {} : { by });
      return initial['x-fake-name'] ?? details;
    };
    for (const target of [A, { model_id: 'bge' }, { instance_index: 1 }]) expect(await labelOf(target)).toBe('a');
    for (const target of [{ model_id: 'e5' }, { instance_index: 2 }]) expect(await labelOf(target)).toBe('b');
    for (const target of [A, { model: 'bge' }, { index: 1 }]) expect(await labelOf(target, 'documented')).toBe('a');
    for (const target of [{ model: 'e5' }, { index: 2 }]) expect(await labelOf(target, 'documented')).toBe('b');
    const turns = [await labelOf({ instance_index: 0 }), await labelOf({ index: 0 }, 'documented')];
    expect(turns.sort()).toEqual(['a', 'b']);
  });

  test('[T-12] [T-13] codes and messages', async () => {
    const door = await served();
    const said = async (target: object | undefined, options: CallOptions = {}): Promise<string> => {
      const { code, details } = await embed(door, target, options);
      return `${code}: ${details}`;
    };
    expect(await said(undefined)).toBe('INVALID_ARGUMENT: Missing target');
    expect(await said({})).toBe('INVALID_ARGUMENT: No routing specified');
    expect(await said({ instance_name: '' })).toBe('INVALID_ARGUMENT: Instance name cannot be empty');
    expect(await said({ instance_name: 'x' })).toBe("NOT_FOUND: Instance 'x' not found");
    expect(await said({ model_id: 'x' })).toMatch(/^NOT_FOUND: /);
    expect(await said({ instance_index: 3 })).toMatch(/^NOT_FOUND: /);
    await fetch(`${door.adminUrl}/instances/a/stop`, { method: 'POST' });
    expect(await said(A)).toBe("UNAVAILABLE: Instance 'a' is not running (status: stopped)");
    const missing = await grpcio.call(door.grpcPort, `${SERVICE}/Embed`, [{ target: { instance_name: 'b' } }]);
    expect(missing).toMatchObject({ code: 'INVALID_ARGUMENT', details: 'Missing embed request' });
    const own = { 'x-fake-status': '9', 'x-fake-details': 'more of it' };
    const passed = await embed(door, { instance_name: 'b' }, { metadata: own });
    expect(passed).toMatchObject({ code: 'FAILED_PRECONDITION', details: 'as told: ü' });
    expect(passed.trailing).toMatchObject({ 'grpc-status-details-bin': 'more of it', 'x-fake-trailer': 'said last' });
  });

  test('a deadline ends the call at the server: the client’s, else the instance’s', async () => {
    const [a, b] = await teis('a', 'b');
    const door = await openDoor();
    await door.put(tei('a', a.origin), tei('b', b.origin, { timeouts: { requestMs: 100 } }));
    const slow = { 'x-fake-delay-ms': '5000' };
    expect((await embed(door, A, { metadata: slow, timeoutMs: 100 })).code).toBe('DEADLINE_EXCEEDED');
    await eventually('the server is told', () => a.cancelled() === 1);
    const seen = await embed(door, { instance_name: 'b' }, { metadata: slow, timeoutMs: 0 });
    expect(seen).toMatchObject({ code: 'DEADLINE_EXCEEDED', details: 'Request timeout' });
    await eventually('the server is told', () => b.cancelled() === 1);
  });

  test('compression: untouched on plain calls, on wrapped ones it says what to set', async () => {
    const door = await served();
    const inputs = 'hello '.repeat(1_000);
    const metadata = { 'x-tei-instance': 'a' };
    const plain = await grpcio.call(door.grpcPort, 'tei.v1.Embed/Embed', [{ inputs }], { gzip: true, metadata });
    expect(plain).toMatchObject({ code: 'OK', answers: [{ embeddings: [6_000] }] });
    const request = [{ target: A, request: { inputs } }];
    const wrapped = await grpcio.call(door.grpcPort, `${SERVICE}/Embed`, request, { gzip: true });
    expect(wrapped).toMatchObject({ code: 'UNIMPLEMENTED', details: expect.stringContaining('grpc-encoding') });
  });

  test('keys: none or an unknown one, one of another instance, the right one', async () => {
    const [a, b] = await teis('a', 'b');
    const door = await openDoor();
    await door.put(
      clientKeys('a', 'v1', { search: 'key-of-a' }, 'EmbeddingInstance'),
      clientKeys('b', 'v1', { other: 'key-of-b' }, 'EmbeddingInstance'),
      tei('a', a.origin, keyed('v1')),
      tei('b', b.origin, keyed('v1')),
    );
    const codeWith = async (metadata: Record<string, string>): Promise<string> =>
      (await embed(door, A, { metadata })).code;
    expect(await codeWith({})).toBe('UNAUTHENTICATED');
    expect(await codeWith({ authorization: 'Bearer nobody' })).toBe('UNAUTHENTICATED');
    expect(await codeWith({ authorization: 'Bearer key-of-b' })).toBe('PERMISSION_DENIED');
    expect(await codeWith({ authorization: 'Bearer key-of-a' })).toBe('OK');
    expect(await grpcio.ask(door.grpcPort, 'check', { service: 'a' })).toBe('SERVING');
  });

  test('[T-15] health: Check, List, and Watch while an instance stops and starts', async () => {
    const door = await served();
    const check = (service: string): Promise<unknown> => grpcio.ask(door.grpcPort, 'check', { service });
    for (const service of ['', SERVICE, 'tei.v1.Embed', 'a', 'ml/a']) expect(await check(service)).toBe('SERVING');
    expect(await check('x')).toBe("NOT_FOUND: Service 'x' not found");
    expect(await grpcio.ask(door.grpcPort, 'list_health')).toMatchObject({ '': 'SERVING', a: 'SERVING', b: 'SERVING' });
    await grpcio.ask(door.grpcPort, 'watch', { service: 'a' });
    const heard = async (...said: string[]): Promise<void> => {
      await eventually(`Watch says ${said}`, async () => {
        return JSON.stringify(await grpcio.ask(door.grpcPort, 'watched')) === JSON.stringify(said);
      });
    };
    await heard('SERVING');
    await fetch(`${door.adminUrl}/instances/a/stop`, { method: 'POST' });
    await heard('SERVING', 'NOT_SERVING');
    expect(await check('a')).toBe('NOT_SERVING');
    await fetch(`${door.adminUrl}/instances/a/start`, { method: 'POST' });
    await heard('SERVING', 'NOT_SERVING', 'SERVING');
  });

  test('[T-4] reflection: lists every service, describes the very files of proto/, and is enough to call', async () => {
    const door = await served();
    const services = await grpcio.ask(door.grpcPort, 'services');
    expect(services).toEqual(expect.arrayContaining([SERVICE, 'tei.v1.Rerank', 'grpc.health.v1.Health']));
    const files = { 'tei/v1/tei.proto': true, 'tei_multiplexer/v1/multiplexer.proto': true };
    expect(await grpcio.ask(door.grpcPort, 'files'), 'to describe them anew: proto/describe').toEqual(files);
    expect(await embed(door, A, { by: 'reflection' })).toMatchObject({ code: 'OK', answers: BY_A });
  });

  test('[T-17] keep-alive pings as often as grpcio sends them, each second and without calls: no GOAWAY', async () => {
    const door = await served();
    const wire = await tap(door.grpcPort);
    const channel = [
      ['grpc.keepalive_time_ms', 1_000],
      ['grpc.keepalive_timeout_ms', 10_000],
      ['grpc.keepalive_permit_without_calls', 1],
      ['grpc.http2.max_pings_without_data', 0],
    ];
    const call = (): Promise<unknown> => grpcio.ask(wire.port, 'check', { service: 'a', channel });
    expect(await call()).toBe('SERVING');
    // A server with gRPC's own limits says GOAWAY to the third.
    await eventually('six pings', () => wire.pings() >= 6);
    expect(await call()).toBe('SERVING');
    expect(wire.goaways()).toBe(0);
    expect(wire.connections()).toBe(1);
  });
});

/** A way to the door on which frames are counted. */
async function tap(
  port: number,
): Promise<{ port: number; pings: () => number; goaways: () => number; connections: () => number }> {
  const sockets = new Set<Socket>();
  let [pings, goaways, connections] = [0, 0, 0];
  const server = createServer((near) => {
    connections += 1;
    const far = connect(port, '127.0.0.1');
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
    }
    near.on('data', (bytes) => {
      pings += frames(bytes, PING);
    });
    far.on('data', (bytes) => {
      goaways += frames(bytes, GOAWAY);
    });
    near.pipe(far).pipe(near);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const { port: bound } = server.address() as { port: number };
  return { port: bound, pings: () => pings, goaways: () => goaways, connections: () => connections };
}

const PING = 6;
const GOAWAY = 7;

/** Frames of this type in a chunk, as far as they begin in it; the preface of a connection is passed over. */
function frames(bytes: Buffer, type: number): number {
  let at = bytes.subarray(0, 3).toString() === 'PRI' ? 24 : 0;
  let count = 0;
  for (; at + 9 <= bytes.length; at += 9 + bytes.readUIntBE(at, 3)) {
    if (bytes[at + 3] === type) count += 1;
  }
  return count;
}
