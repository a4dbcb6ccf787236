import { describe, expect, test } from 'vitest';
import { frameOf } from '../../../proxy/grpc/frames.ts';
import { eventually } from '../../support/eventually.ts';
import { startFakeTei } from '../../support/fake-tei.ts';
import { tei, teis } from '../grpc/instances.ts';
import { errorOf, instance, openDoor } from '../http/door.ts';
import { clientKeys, keyed, withKey } from '../http/door-credentials.ts';
import { answerWith, EMBEDDED, HEAD, peerThat, saying } from './peers.ts';

const EMBED = '/instances/e/embed';
const HEALTH = '/instances/e/health';
const says = (health: number): Buffer => frameOf(Buffer.from([0x08, health]));

describe('an instance that speaks gRPC, called over HTTP', () => {
  test('is well where its server serves, or has no health service; else it is 503 in TEI’s words', async () => {
    const [withoutHealth] = await teis('a');
    const door = await openDoor();
    await door.put(tei('e', withoutHealth.origin));
    const well = await door.get(HEALTH);
    expect([well.status, await well.text()]).toEqual([200, '']);
    const peer = await peerThat((stream, path) => {
      if (path === '/tei/grpc.health.v1.Health/Check') answerWith(stream, says(health));
      else saying('UNIMPLEMENTED')(stream);
    });
    let health = 1;
    await door.put(tei('e', `${peer.origin}/tei/`));
    expect((await door.get(HEALTH)).status).toBe(200);
    health = 2;
    const ill = await door.get(HEALTH);
    expect([ill.status, await ill.json()]).toEqual([503, { error: 'unhealthy', error_type: 'Unhealthy' }]);
  });

  test('is 503 where it has no endpoint, on every path', async () => {
    const door = await openDoor();
    await door.put(instance('e', { name: 'e', scheme: 'http' }, { protocol: 'GRPC' }));
    for (const response of [await door.get(HEALTH), await door.post(EMBED, { inputs: 'x' })]) {
      expect(await errorOf(response)).toMatchObject({ status: 503, code: 'no_healthy_endpoints' });
    }
  });

  test('lets in who has a key, and counts its limits like any other', async () => {
    const [a] = await teis('a');
    const door = await openDoor();
    const limits = { pool: { requestsPerMinute: 2 } };
    const keys = clientKeys('e', 'c', { ann: 'mine' }, 'EmbeddingInstance');
    await door.put(keys, tei('e', a.origin, { ...keyed('c'), limits }));
    expect(await errorOf(await door.post(EMBED, { inputs: 'x' }))).toMatchObject({ status: 401 });
    const statuses: number[] = [];
    for (let n = 0; n < 3; n += 1) statuses.push((await door.post(EMBED, { inputs: 'x' }, withKey('mine'))).status);
    expect(statuses).toEqual([200, 200, 429]);
    expect(a.seen).toHaveLength(2);
  });

  test('lets calls wait for its slots', async () => {
    const streams: (() => void)[] = [];
    const peer = await peerThat((stream) => streams.push(() => answerWith(stream, EMBEDDED)));
    const door = await openDoor();
    await door.put(tei('e', peer.origin, {}, { maxConcurrent: 1 }));
    const answers = [door.post(EMBED, { inputs: 'x' }), door.post(EMBED, { inputs: 'y' })];
    await eventually('one call is there', () => (streams.length === 1 ? true : undefined));
    expect(await door.metrics()).toContain('sluice_queue_depth{pool="ml/e"} 1');
    streams[0]?.();
    await eventually('the other is', () => (streams.length === 2 ? true : undefined));
    streams[1]?.();
    expect((await Promise.all(answers)).map(({ status }) => status)).toEqual([200, 200]);
  });

  test('is called again by the first call after its server has come back', async () => {
    const [a] = await teis('a');
    const door = await openDoor();
    const retry = { attempts: 3, backoffMs: 1 };
    await door.put(tei('e', a.origin, { retry }));
    expect((await door.post(EMBED, { inputs: 'x' })).status).toBe(200);
    await a.close();
    expect((await door.post(EMBED, { inputs: 'x' })).status).toBe(502);
    const again = await startFakeTei('b', a.port);
    expect((await door.post(EMBED, { inputs: 'x' })).status).toBe(200);
    await again.close();
  });

  test('a call that waited while its instance began to speak gRPC is said in gRPC, or refused by its field', async () => {
    const [a] = await teis('a');
    const held: (() => void)[] = [];
    const old = await peerThat((stream) => {
      held.push(() => stream.close());
      stream.respond(HEAD);
    });
    const door = await openDoor();
    const backend = { name: 'e', url: old.origin };
    const one = { maxConcurrent: 1 };
    await door.put(instance('e', backend, { protocol: 'GRPC', ...one }));
    const first = door.post(EMBED, { inputs: 'x' });
    await eventually('it has the slot', () => (held.length === 1 ? true : undefined));
    // For as long as it speaks HTTP nobody looks into bodies.
    await door.put(instance('e', backend, { protocol: 'HTTP', ...one }));
    const waiting = [door.post(EMBED, { inputs: 'x' }), door.post(EMBED, { wrong: 'x' })];
    await eventually('both wait', async () =>
      (await door.metrics()).includes('sluice_queue_depth{pool="ml/e"} 2') ? true : undefined,
    );
    await door.put(instance('e', { ...backend, url: a.origin }, { protocol: 'GRPC', ...one }));
    held[0]?.();
    await first;
    const [good, bad] = await Promise.all(waiting);
    expect(good?.status).toBe(200);
    expect(await errorOf(bad as Response)).toMatchObject({ status: 400, code: 'bad_request', param: 'inputs' });
  });
});
