import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type KubeClient, openClient } from '../../../kube/client.ts';
import { followApi } from '../../../proxy/config/api.ts';
import { canonicalJson } from '../../../proxy/config/encode.ts';
import { followFolder } from '../../../proxy/config/folder.ts';
import { keepLastGood } from '../../../proxy/config/last-good.ts';
import { createShares, type Shares } from '../../../proxy/shares.ts';
import { type ApiServer, startApiServer } from '../../support/apiserver.ts';
import { eventually } from '../../support/eventually.ts';
import { type FaultProxy, startFaultProxy } from '../../support/fault-proxy.ts';
import { temporaryFolder } from '../../support/reaper.ts';
import { type Bench, openBench, pool } from './texts.ts';

const list = (...ids: string[]): string => canonicalJson({ format: 1, kind: 'Proxies', ids });
const open: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

/** Documents, and the shares that the proxy `b` has by them. */
function openShared(): Bench & { readonly shares: Shares } {
  const bench = openBench();
  const shares = createShares('b');
  bench.documents.watchProxies(shares.update);
  open.push(bench.documents.close);
  return { ...bench, shares };
}

/** Nothing of the list shows among what is somebody's. */
function expectNobodys({ documents, reports, batches }: Bench): void {
  expect([documents.reports(), documents.strays(), reports, batches]).toEqual([[], [], [], []]);
  expect(documents.stats()).toMatchObject({ loaded: 0, rejected: 0, rejections: 0 });
  expect(documents.records.size).toBe(0);
}

describe('the list of proxies', () => {
  test('is passed on by rank, and is nobody’s document', async () => {
    const bench = openShared();
    expect(bench.documents.proxies()).toEqual([]);
    bench.documents.put('proxies', list('a', 'b', 'c'));
    expect(bench.documents.proxies()).toEqual(['a', 'b', 'c']);
    expect(bench.shares.of(7)).toBe(2);
    bench.documents.remove('proxies');
    expect(bench.documents.proxies()).toEqual([]);
    expect(bench.shares.of(7)).toBe(7);
    await bench.turn();
    expectNobodys(bench);
  });

  test.each([
    ['half-written', list('a', 'b').slice(0, 20)],
    ['empty', ''],
    ['without ids', '{"format":1,"kind":"Proxies"}'],
    ['of a later format', '{"format":2,"kind":"Proxies","ids":["a"]}'],
    ['with ids that are none', list('a', 'has spaces')],
    ['too long', list(...Array.from({ length: 1_001 }, (_, index) => `proxy-${index}`))],
    ['of no kind', '[]'],
  ])('that is %s leaves the last good one, and the log says so once', async (_, bad) => {
    const bench = openShared();
    bench.documents.put('proxies', list('a', 'b'));
    bench.documents.put('proxies', bad);
    bench.documents.fail('proxies', 'cannot be read');
    bench.documents.fail('proxies', 'cannot be read');
    expect(bench.documents.proxies()).toEqual(['a', 'b']);
    expect(bench.heard.lines.filter(({ level }) => level === 'warn')).toHaveLength(2);
    bench.documents.put('proxies', list('b'));
    expect(bench.documents.proxies()).toEqual(['b']);
    await bench.turn();
    expectNobodys(bench);
  });

  test('that was never good counts for nothing', async () => {
    const bench = openShared();
    bench.documents.put('proxies', '{"format":1,"kind":"Proxies","ids":"a"}');
    await bench.turn();
    expect(bench.documents.proxies()).toEqual([]);
    expectNobodys(bench);
  });

  test('is the first by source where there are several', () => {
    const { documents } = openShared();
    documents.put('b', list('b'));
    documents.put('a', list('a'));
    documents.put('c', list('c'));
    expect(documents.proxies()).toEqual(['a']);
    documents.remove('a');
    expect(documents.proxies()).toEqual(['b']);
  });

  test('and a pool may take each other’s source', async () => {
    const { documents, served, turn } = openShared();
    documents.put('one', pool('chat'));
    await turn();
    documents.put('one', list('a'));
    await turn();
    expect([served.size, documents.proxies()]).toEqual([0, ['a']]);
    documents.put('one', pool('chat'));
    await turn();
    expect([served.size, documents.proxies()]).toEqual([1, []]);
  });
});

test('in a folder the list is followed', async () => {
  const dir = temporaryFolder('sluice-proxies');
  open.push(() => rmSync(dir, { recursive: true, force: true }));
  const { documents, shares, heard } = openShared();
  writeFileSync(join(dir, 'proxies.json'), list('a', 'b'));
  const feed = followFolder({ dir, documents, log: heard.log, pollMs: 60_000 });
  open.push(feed.stop);
  await eventually('read', () => shares.of(7) === 3);
  writeFileSync(join(dir, 'proxies.json'), 'garbage');
  await eventually('refused', () => heard.lines.some(({ level }) => level === 'warn'));
  expect(shares.of(7)).toBe(3);
  writeFileSync(join(dir, 'proxies.json'), list('b', 'c'));
  await eventually('edited', () => shares.of(7) === 4);
  rmSync(join(dir, 'proxies.json'));
  await eventually('gone', () => shares.of(7) === 7);
});

describe('through the API', () => {
  let api: ApiServer;
  let door: FaultProxy;
  let client: KubeClient;

  beforeAll(async () => {
    api = await startApiServer();
    door = await startFaultProxy(api);
    const rules = [{ apiGroups: [''], resources: ['configmaps', 'secrets'], verbs: ['get', 'list', 'watch'] }];
    const group = 'rbac.authorization.k8s.io';
    const metadata = { name: 'proxy', namespace: 'sluice' };
    await api.apply({ apiVersion: `${group}/v1`, kind: 'Role', metadata, rules });
    await api.apply({
      ...{ apiVersion: `${group}/v1`, kind: 'RoleBinding', metadata },
      roleRef: { apiGroup: group, kind: 'Role', name: 'proxy' },
      subjects: [{ kind: 'ServiceAccount', name: 'proxy', namespace: 'sluice' }],
    });
    client = await openClient({ env: await api.podEnv('sluice', 'proxy', door.url) });
  });
  afterAll(async () => {
    await client?.close();
    await door?.close();
    await api?.stop();
  });

  const publish = (text: string) =>
    api.apply({
      ...{ apiVersion: 'v1', kind: 'ConfigMap', data: { 'config.json': text } },
      metadata: { namespace: 'sluice', name: 'sluice-proxies', labels: { 'sluice.dev/config': 'proxies' } },
    });
  const remove = () => api.call('DELETE', '/api/v1/namespaces/sluice/configmaps/sluice-proxies');

  function follow(snapshotDir?: string): Bench & { readonly shares: Shares } {
    const bench = openShared();
    const { documents, heard } = bench;
    const feed = followApi({
      ...{ client, namespace: 'sluice', documents, log: heard.log, snapshotDir, answerWithinMs: 50, writeAfterMs: 1 },
    });
    open.push(feed.stop);
    return bench;
  }

  test('the list is followed', async () => {
    await publish(list('a', 'b'));
    const { documents, shares, heard } = follow();
    await documents.whenSettled;
    expect(shares.of(7)).toBe(3);
    await publish('garbage');
    await eventually('refused', () => heard.lines.some(({ level }) => level === 'warn'));
    expect(shares.of(7)).toBe(3);
    await publish(list('a', 'b', 'c'));
    await eventually('edited', () => shares.of(7) === 2);
    await remove();
    await eventually('gone', () => shares.of(7) === 7);
  });

  test('a proxy that starts while the API server is away has the last good list, until it is back', async () => {
    const dir = temporaryFolder('sluice-proxies');
    const saved = openBench();
    const keeper = keepLastGood({ dir, documents: saved.documents, log: saved.heard.log, writeAfterMs: 1 });
    saved.documents.put('configmap/sluice-proxies/config.json', list('a', 'c'));
    keeper.complete();
    await keeper.stop();
    door.stall('all');
    const { documents, shares } = follow(dir);
    await documents.whenSettled;
    expect([documents.source(), shares.of(7)]).toEqual(['snapshot', 2]);
    door.cut();
    door.resume();
    await eventually('the API server says there is none', () => shares.of(7) === 7, { timeoutMs: 20_000 });
    await eventually('nor is it kept', () => !readdirSync(dir).includes('proxies.json'));
  });
});
