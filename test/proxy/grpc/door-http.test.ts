import { expect, test } from 'vitest';
import { errorOf, openDoor } from '../http/door.ts';
import { embed, grpcOf, named, tei, teis } from './instances.ts';

test('over HTTP an instance that speaks gRPC is refused in words, and its endpoint is not troubled', async () => {
  const [a] = await teis('a');
  const door = await openDoor();
  await door.put(tei('a', a.origin, { model: 'BAAI/bge' }));
  const refused = {
    status: 501,
    code: 'not_implemented',
    message: "Instance 'a' speaks gRPC; call it on the gRPC port",
  };
  expect(await errorOf(await door.post('/v1/embeddings', { model: 'a', input: 'x' }))).toMatchObject(refused);
  expect(await errorOf(await door.post('/v1/embeddings', { model: 'BAAI/bge', input: 'x' }))).toMatchObject(refused);
  expect(await errorOf(await door.post('/instances/a/embed', { inputs: 'x' }))).toMatchObject(refused);
  expect(a.accepted()).toBe(0);
  expect((await grpcOf(door).unary('Embed', embed(named('a')))).code).toBe(0);
});
