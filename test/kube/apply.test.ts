import { describe, expect, test } from 'vitest';
import { apply, remove } from '../../kube/apply.ts';
import { RESOURCES } from '../../kube/object.ts';
import { clientBench, failure } from './client-bench.ts';

const bench = clientBench();
const place = (name: string) => ({ name, namespace: 'default' });
const configMap = (name: string, data: Record<string, string>) => ({ metadata: place(name), data });

describe('server-side apply', () => {
  test('creates an object, removes what it no longer names, and leaves what is not its own', async () => {
    const mine = { fieldManager: 'sluice' };
    const first = await apply(bench.client, RESOURCES.configMaps, configMap('a', { one: '1', two: '2' }), mine);
    expect([first.kind, first['data']]).toEqual(['ConfigMap', { one: '1', two: '2' }]);
    await bench.api.apply({ apiVersion: 'v1', kind: 'ConfigMap', ...configMap('a', { other: 'x' }) }, 'other');

    const second = await apply(bench.client, RESOURCES.configMaps, configMap('a', { one: '1' }), mine);
    expect(second['data']).toEqual({ one: '1', other: 'x' });
  });

  test('keeps the resourceVersion when it changes nothing', async () => {
    const object = configMap('same', { one: '1' });
    const versions = [1, 2].map(async () => {
      const stored = await apply(bench.client, RESOURCES.configMaps, object, { fieldManager: 'sluice' });
      return stored.metadata.resourceVersion;
    });
    expect(new Set(await Promise.all(versions)).size).toBe(1);
  });

  test("takes another manager's field, but not without force", async () => {
    await bench.api.apply({ apiVersion: 'v1', kind: 'ConfigMap', ...configMap('b', { one: 'theirs' }) }, 'other');
    const object = configMap('b', { one: 'ours' });
    const gentle = apply(bench.client, RESOURCES.configMaps, object, { fieldManager: 'sluice', force: false });
    expect((await failure(gentle)).status).toBe(409);
    const stored = await apply(bench.client, RESOURCES.configMaps, object, { fieldManager: 'sluice' });
    expect(stored['data']).toEqual({ one: 'ours' });
  });

  test('writes the status alone where that is the subresource', async () => {
    const pod = { metadata: place('p'), spec: { containers: [{ name: 'c', image: 'c' }] } };
    await apply(bench.client, RESOURCES.pods, pod, { fieldManager: 'sluice' });
    const status = { metadata: place('p'), status: { phase: 'Running' } };
    const stored = await apply(bench.client, RESOURCES.pods, status, { fieldManager: 'sluice', subresource: 'status' });
    expect(stored['status']).toMatchObject({ phase: 'Running' });
    expect(stored['spec']).toMatchObject({ containers: [{ name: 'c' }] });
  });
});

describe('remove', () => {
  test('removes an object, and says so where there was none', async () => {
    await apply(bench.client, RESOURCES.configMaps, configMap('gone', {}), { fieldManager: 'sluice' });
    expect(await remove(bench.client, RESOURCES.configMaps, place('gone'))).toBe(true);
    expect(await remove(bench.client, RESOURCES.configMaps, place('gone'))).toBe(false);
  });

  test('keeps an object that is another one, or another version, than was meant', async () => {
    const stored = await apply(bench.client, RESOURCES.configMaps, configMap('kept', {}), { fieldManager: 'sluice' });
    const { uid, resourceVersion } = stored.metadata;
    for (const precondition of [{ uid: 'other' }, { resourceVersion: '1' }, { uid, resourceVersion: '1' }]) {
      const error = await failure(remove(bench.client, RESOURCES.configMaps, place('kept'), precondition));
      expect([error.status, error.reason]).toEqual([409, 'Conflict']);
    }
    expect(await remove(bench.client, RESOURCES.configMaps, place('kept'), { uid, resourceVersion })).toBe(true);
  });
});
