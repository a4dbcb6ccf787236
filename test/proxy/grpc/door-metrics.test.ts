import { expect, test } from 'vitest';
import { openDoor } from '../http/door.ts';
import { seriesOf } from '../http/door-series.ts';
import { embed, grpcOf, named, tei, teis } from './instances.ts';

test('[T-14] calls are counted by instance, method, code and outcome; a stream counts once', async () => {
  const [a] = await teis('a');
  const door = await openDoor();
  await door.put(tei('bge', a.origin, { instanceName: 'bge-small' }));
  const grpc = grpcOf(door);
  const target = named('bge-small');
  for (let n = 0; n < 3; n += 1) await grpc.unary('Embed', embed(target));
  await grpc.stream(
    'EmbedSparseStream',
    [1, 2, 3].map(() => embed(target)),
  );
  await grpc.unary('Embed', embed(target), { metadata: { 'x-fake-status': '3' } });
  await grpc.unary('Embed', embed(named('none')));
  const [instance, pool] = ['bge-small', 'ml/bge'];
  const of = (name: string, labels: Record<string, string>): Promise<number | undefined> =>
    seriesOf(door, name, labels);
  expect(await of('tei_grpc_pool_connections_total', { instance })).toBe(1);
  expect(await of('tei_grpc_pool_requests_total', { instance, method: 'embed' })).toBe(4);
  expect(await of('tei_grpc_pool_requests_total', { instance, method: 'embed_sparse_stream' })).toBe(1);
  expect(await of('tei_grpc_multiplexer_request_duration_seconds_count', { method: 'embed' })).toBe(5);
  expect(await of('tei_grpc_multiplexer_request_duration_seconds_count', { method: 'embed_sparse_stream' })).toBe(1);
  expect(await of('sluice_requests_total', { pool, protocol: 'grpc', code: 'OK' })).toBe(4);
  expect(await of('sluice_requests_total', { pool, protocol: 'grpc', code: 'INVALID_ARGUMENT' })).toBe(1);
  expect(await of('sluice_requests_total', { pool: 'unknown', protocol: 'grpc', code: 'NOT_FOUND' })).toBe(1);
  expect(await of('sluice_request_duration_seconds_count', { pool, protocol: 'grpc' })).toBe(5);
  expect(await of('sluice_time_to_first_byte_seconds_count', { pool })).toBe(4);
  expect(await of('sluice_overhead_seconds_count', { protocol: 'grpc' })).toBe(5);
  expect(await of('sluice_attempts_total', { pool, backend: 'bge', outcome: 'success' })).toBe(4);
  expect(await of('sluice_attempts_total', { pool, backend: 'bge', outcome: 'client_error' })).toBe(1);
  expect(await of('sluice_in_flight_requests', { pool, backend: 'bge' })).toBe(0);
  expect(await of('sluice_requests_total', { protocol: 'http' })).toBeUndefined();
});

test('series of an instance go with it', async () => {
  const [a] = await teis('a');
  const door = await openDoor();
  await door.put(tei('a', a.origin));
  await grpcOf(door).unary('Embed', embed(named('a')));
  expect(await door.metrics()).toContain('tei_grpc_pool_requests_total{instance="a",method="embed"} 1');
  await door.remove(tei('a', a.origin));
  expect(await door.metrics()).not.toContain('instance="a"');
});

test('each call has one line in the log, with its tries, and nothing of its messages or metadata', async () => {
  const [a, b] = await teis('a', 'b');
  const door = await openDoor();
  const model = 'BAAI/bge';
  await door.put(tei('a', a.origin, { model }), tei('b', b.origin, { model }));
  const grpc = grpcOf(door);
  const metadata = {
    'x-request-id': 'id-1',
    'x-fake-status': '14',
    'x-fake-only': 'a',
    'x-private': 'secret-metadata',
  };
  await grpc.unary('Embed', embed({ model_id: model }, 'secret-text'), { metadata });
  await grpc.stream('EmbedStream', [embed({ instance_index: 2 }, 'secret-text'), embed(named('a'), 'secret-text')]);
  await grpc.unary('Embed', embed(named('none')));
  const lines = door.log.map((line) => JSON.parse(line)).filter(({ msg }) => msg === 'request');
  expect(lines).toMatchObject([
    {
      ...{ level: 'info', program: 'proxy', id: 'id-1', protocol: 'grpc', code: 'OK', model, pool: 'ml/a' },
      ...{ path: '/tei_multiplexer.v1.TeiMultiplexer/Embed', ms: expect.any(Number), firstByteMs: expect.any(Number) },
      attempts: [
        { backend: 'a', endpoint: `127.0.0.1:${a.port}`, outcome: 'server_error', ms: expect.any(Number) },
        { backend: 'b', endpoint: `127.0.0.1:${b.port}`, outcome: 'success', ms: expect.any(Number) },
      ],
    },
    { code: 'OK', index: 2, pool: 'ml/b', attempts: [{ outcome: 'success' }, { outcome: 'success' }] },
    { code: 'NOT_FOUND', instance: 'none' },
  ]);
  expect(new Set(lines.map(({ id }) => id)).size).toBe(3);
  expect(door.log.join('\n')).not.toContain('secret');
});
