import { status as CODES } from '@grpc/grpc-js';
import { expect, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { startFakeTei } from '../../support/fake-tei.ts';
import { freePort } from '../../support/ports.ts';
import { type Door, openDoor } from '../http/door.ts';
import { clientKeys, keyed } from '../http/door-credentials.ts';
import { healthOf } from './health.ts';
import { tei, teiOf, teis } from './instances.ts';

async function set(door: Door, name: string, to: 'start' | 'stop'): Promise<void> {
  await fetch(`${door.adminUrl}/instances/${name}/${to}`, { method: 'POST' });
}

test('[T-15] the whole and each service serve; an instance serves while it runs and has an endpoint that is well', async () => {
  const [a] = await teis('a');
  const door = await openDoor({ startsAndStops: true });
  await door.put(tei('a', a.origin), ...teiOf('empty', []));
  const health = healthOf(door);
  expect(await health.check('')).toBe('SERVING');
  const services = ['tei_multiplexer.v1.TeiMultiplexer', 'tei.v1.Info', 'tei.v1.Tokenize', 'grpc.health.v1.Health'];
  for (const service of services) expect(await health.check(service), service).toBe('SERVING');
  expect(await health.check('a')).toBe('SERVING');
  expect(await health.check('ml/a')).toBe('SERVING');
  expect(await health.check('empty')).toBe('NOT_SERVING');
  await set(door, 'a', 'stop');
  expect(await health.check('a')).toBe('NOT_SERVING');
  expect(await health.check('ml/a')).toBe('NOT_SERVING');
  expect(await health.check('')).toBe('SERVING');
  await set(door, 'a', 'start');
  expect(await health.check('a')).toBe('SERVING');
});

test('a name of nobody is NOT_FOUND for Check and SERVICE_UNKNOWN for Watch, until somebody has it', async () => {
  const [a] = await teis('a');
  const door = await openDoor();
  const health = healthOf(door);
  expect(await health.check('a')).toBe("5 NOT_FOUND: Service 'a' not found");
  const watch = health.watch('a');
  await watch.until('SERVICE_UNKNOWN');
  await door.put(tei('a', a.origin));
  await watch.until('SERVICE_UNKNOWN', 'SERVING');
  await door.remove(tei('a', a.origin));
  await watch.until('SERVICE_UNKNOWN', 'SERVING', 'SERVICE_UNKNOWN');
});

test('Watch tells when an instance is stopped and started, loses its last endpoint and has one again', async () => {
  const [a] = await teis('a');
  const door = await openDoor({ startsAndStops: true });
  await door.put(...teiOf('a', [a.port]));
  const [watch, whole] = [healthOf(door).watch('a'), healthOf(door).watch('')];
  await watch.until('SERVING');
  await set(door, 'a', 'stop');
  await watch.until('SERVING', 'NOT_SERVING');
  await set(door, 'a', 'start');
  await watch.until('SERVING', 'NOT_SERVING', 'SERVING');
  await door.put(...teiOf('a', []));
  await watch.until('SERVING', 'NOT_SERVING', 'SERVING', 'NOT_SERVING');
  await door.put(...teiOf('a', [a.port]));
  await watch.until('SERVING', 'NOT_SERVING', 'SERVING', 'NOT_SERVING', 'SERVING');
  expect(whole.said).toEqual(['SERVING']);
  watch.cancel();
  expect(await watch.ended).toBe(CODES.CANCELLED);
});

test('an instance whose only endpoint fails its health checks is NOT_SERVING until it passes one', async () => {
  const port = await freePort();
  const door = await openDoor();
  const healthCheck = { path: '/', intervalMs: 20, timeoutMs: 500, unhealthyThreshold: 1, healthyThreshold: 1 };
  await door.put(tei('a', `http://127.0.0.1:${port}`, { healthCheck }));
  const health = healthOf(door);
  await eventually('it is NOT_SERVING', async () => (await health.check('a')) === 'NOT_SERVING');
  const fake = await startFakeTei('a', port);
  await eventually('it is SERVING', async () => (await health.check('a')) === 'SERVING');
  await fake.close();
});

test('needs no key, and List names only what everybody may know', async () => {
  const [open, closed] = await teis('open', 'closed');
  const door = await openDoor();
  await door.put(clientKeys('closed', 'v1', { search: 'secret-key' }, 'EmbeddingInstance'));
  await door.put(tei('open', open.origin), tei('closed', closed.origin, keyed('v1')), ...teiOf('empty', []));
  const health = healthOf(door);
  expect(await health.check('closed')).toBe('SERVING');
  const listed = await health.list();
  expect(listed).toMatchObject({ '': 'SERVING', 'tei.v1.Embed': 'SERVING', open: 'SERVING', empty: 'NOT_SERVING' });
  expect(listed).not.toHaveProperty('closed');
});

test('a list of more than 1,000 is refused', async () => {
  const door = await openDoor();
  await door.put(...Array.from({ length: 1_000 }, (_, index) => tei(`a${index}`, 'http://127.0.0.1:1')));
  await expect(healthOf(door).list()).rejects.toThrow('RESOURCE_EXHAUSTED');
});

test('is not counted as a call of anybody', async () => {
  const door = await openDoor();
  const health = healthOf(door);
  await health.check('');
  await health.check('nobody');
  expect(await door.metrics()).not.toMatch(/sluice_requests_total\{/);
  expect(door.log.filter((line) => line.includes('"msg":"request"'))).toEqual([]);
});

test('draining does not wait for those who watch: they are sent elsewhere', async () => {
  const door = await openDoor({ drainTimeoutMs: 60_000 });
  const watch = healthOf(door).watch('');
  await watch.until('SERVING');
  await door.drain();
  expect(await watch.ended).toBe(CODES.UNAVAILABLE);
});
