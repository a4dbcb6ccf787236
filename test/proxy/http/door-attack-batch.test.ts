import { expect, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { backend, chat, errorOf, fakes, httpPost, instance, openDoor, pool, rawClient, rawServer } from './door.ts';
import { seriesOf } from './door-series.ts';

const EMBEDDINGS = '/v1/embeddings';
const JSON_HEAD = 'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n';

test('inputs without end are refused, however short they are', async () => {
  const [tei] = await fakes('tei');
  const door = await openDoor();
  await door.put(instance('bge', tei, { maxBatch: 1 }));
  const error = await errorOf(await door.post(EMBEDDINGS, { model: 'bge', input: Array(100_000).fill('') }));
  expect(error).toMatchObject({ status: 413, code: 'request_too_large', param: 'input' });
  expect(tei.calls).toHaveLength(0);
});

test('what all parts have in common is not sent a thousand times', async () => {
  const [tei] = await fakes('tei');
  const door = await openDoor();
  await door.put(instance('bge', tei, { maxBatch: 1 }));
  const asked = { model: 'bge', input: Array(1_000).fill('a'), user: 'u'.repeat(2 ** 20) };
  const before = process.memoryUsage().rss;
  const error = await errorOf(await door.post(EMBEDDINGS, asked));
  expect(error).toMatchObject({ status: 413, code: 'request_too_large', param: 'input' });
  expect(process.memoryUsage().rss - before).toBeLessThan(300 * 2 ** 20);
  expect(tei.calls).toHaveLength(0);
});

test('a client that leaves while the server is asked how much it takes sends it nothing more', async () => {
  let asked: (() => void) | undefined;
  let posts = 0;
  const server = await rawServer('tei', (socket) => {
    socket.on('data', (bytes) => {
      if (bytes.toString().startsWith('POST')) posts += 1;
      else asked = () => socket.write(`${JSON_HEAD}content-length: 27\r\n\r\n{"max_client_batch_size":1}`);
    });
  });
  const door = await openDoor();
  await door.put(instance('bge', server));
  const client = await rawClient(door.port);
  client.send(httpPost(EMBEDDINGS, { model: 'bge', input: ['a', 'b', 'c'] }));
  await eventually('the server is asked', () => asked !== undefined);
  client.socket.destroy();
  await client.closed;
  // A request later than its leaving is answered after it was seen to leave.
  await door.get('/v1/models');
  asked?.();
  await eventually('the call is over', () => seriesOf(door, 'sluice_requests_total', { pool: 'ml/bge', code: '499' }));
  expect(posts).toBe(0);
  expect(await seriesOf(door, 'sluice_in_flight_requests', { pool: 'ml/bge' })).toBe(0);
});

test('an answer that there is no room for leaves nothing counted as held', async () => {
  const chunk = `9c40\r\n${'e'.repeat(40_000)}\r\n`;
  const server = await rawServer('tei', (socket) => {
    socket.on('data', () => {
      socket.write(`${JSON_HEAD}transfer-encoding: chunked\r\n\r\n1\r\n"\r\n${chunk.repeat(5)}1\r\n"\r\n0\r\n\r\n`);
    });
  });
  const [a] = await fakes('a');
  const door = await openDoor({ maxHeldBytes: 60_000 });
  await door.put(instance('bge', server, { maxBatch: 1 }), pool('chat', [backend(a)]));
  for (let n = 0; n < 3; n += 1) {
    const response = await door.post(EMBEDDINGS, { model: 'bge', input: ['a', 'b'] });
    expect(await errorOf(response)).toMatchObject({ status: 503, code: 'overloaded' });
  }
  expect((await door.post('/v1/chat/completions', chat('chat', { user: 'u'.repeat(50_000) }))).status).toBe(200);
});

test.each([
  ['before', '{"model":"bge","input":["a","bb","ccc"],"user":"u"}'],
  ['after', '{"input":["a","bb","ccc"],"user":"u","model":"bge"}'],
])('a model that stands %s the inputs is renamed in every part', async (_, body) => {
  const [tei] = await fakes('tei');
  const door = await openDoor();
  await door.put(instance('bge', { ...tei, model: 'BAAI/other' }, { maxBatch: 1 }));
  expect((await door.post(EMBEDDINGS, body)).status).toBe(200);
  const parts = tei.calls.map((call) => JSON.parse(call.body.toString()) as { input: string[] });
  expect(parts.sort((x, y) => (`${x.input}` < `${y.input}` ? -1 : 1))).toEqual(
    ['a', 'bb', 'ccc'].map((input) => ({ model: 'BAAI/other', input: [input], user: 'u' })),
  );
});
