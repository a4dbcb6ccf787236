import { expect, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { tei, teis } from '../grpc/instances.ts';
import { httpPost, openDoor, rawClient } from '../http/door.ts';

const INPUTS = Array.from({ length: 80 }, () => 'x');

test('a client that does not read is not read for: the server is asked for no more until it does', async () => {
  const [a] = await teis('a');
  const embeddings = Array.from({ length: 30_000 }, (_, n) => n / 8);
  a.answer('EmbedAll', () => ({ token_embeddings: [{ embeddings }] }));
  const door = await openDoor();
  await door.put(
    tei('a', a.origin, { maxBatch: 2, timeouts: { connectMs: 2_000, requestMs: 60_000, idleMs: 60_000 } }),
  );
  const client = await rawClient(door.port);
  client.socket.pause();
  client.send(httpPost('/instances/a/embed_all', { inputs: INPUTS }, 'connection: close\r\n'));
  let before = 0;
  let still = 0;
  await eventually('nothing more is asked for', () => {
    still = a.received.length === before && before > 0 ? still + 1 : 0;
    before = a.received.length;
    return still > 20 ? true : undefined;
  });
  expect(before).toBeLessThan(INPUTS.length);
  client.socket.resume();
  const answer = await client.closed;
  expect(answer).toMatch(/^HTTP\/1\.1 200 /);
  expect(a.received).toHaveLength(INPUTS.length);
  expect(answer.split(String(embeddings.at(-1))).length - 1).toBe(INPUTS.length);
});
