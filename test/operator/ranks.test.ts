import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import type { KubeObject } from '../../kube/object.ts';
import { ProxiesDocument } from '../../proxy/config/schema.ts';
import { eventually } from '../support/eventually.ts';
import { type FaultProxy, startFaultProxy } from '../support/fault-proxy.ts';
import type { Program } from '../support/program.ts';
import { type FakeProxy, type FakeProxyOptions, startFakeProxy } from './config-reports.ts';
import { documentOf, pool, poolPath, proxySlice, publishedFor, type Site, startSite, whenStatus } from './site.ts';

const LIST = '/api/v1/namespaces/sluice/configmaps/sluice-proxies';

let site: Site;
let door: FaultProxy;
let operator: Program;
const proxies: FakeProxy[] = [];
const programs: Program[] = [];

beforeAll(async () => {
  site = await startSite();
  door = await startFaultProxy(site.api);
});
afterAll(async () => {
  await door?.close();
  await site?.stop();
});
/** Two proxies are ready and listed. */
beforeEach(async () => {
  for (const id of ['two', 'one']) await join({ id });
  operator = await start();
  await whenListed('one', 'two');
});
afterEach(async () => {
  for (const program of programs.splice(0)) await program.stop();
  for (const proxy of proxies) {
    await site.api.call('DELETE', slicePath(proxy));
    await proxy.close();
  }
  proxies.length = 0;
  await site.api.call('DELETE', LIST);
});

async function start(server = door.url, ...args: string[]): Promise<Program> {
  const program = await site.operator({ server, args });
  programs.push(program);
  return program;
}

/** One more proxy, ready from now on. */
async function join(options: FakeProxyOptions): Promise<FakeProxy> {
  const proxy = await startFakeProxy(options);
  proxies.push(proxy);
  await site.api.apply(proxySlice(proxy.port, true));
  return proxy;
}
const slicePath = ({ port }: FakeProxy): string =>
  `/apis/discovery.k8s.io/v1/namespaces/sluice/endpointslices/sluice-proxy-admin-${port}`;
/** The first proxy is there again, on its port. */
async function back(id: string): Promise<void> {
  proxies[0] = await startFakeProxy({ id, port: first().port });
  await eventually('it is heard again', () => first().streams() === 1);
}
const leave = ({ port }: FakeProxy) => site.api.apply(proxySlice(port, false));
const first = (): FakeProxy => proxies[0] as FakeProxy;

const whenListed = (...ids: string[]): Promise<KubeObject> =>
  eventually(`the list is ${ids.join()}`, async () => {
    const object = await site.api.read(LIST);
    return JSON.stringify(documentOf(object)['ids']) === JSON.stringify(ids) && object;
  });
const isGone = async (): Promise<boolean> => (await site.api.call('GET', LIST)).status === 404;

const CALM = { kind: 'LLMPool', namespace: 'ml', name: 'calm' } as const;
const isWithdrawn = (name: string) => async (): Promise<boolean> =>
  (await publishedFor(site.api, `LLMPool/ml/${name}`)).config === undefined;

/** All that was written through a door since, but leases, Events, and what is of pools that wait for proxies. */
function writesSince(from: number, through = door): string[] {
  const lines = through.seen.slice(from).map(({ line }) => line.replace(/\?.*/, ''));
  return lines.filter((line) => !line.startsWith('GET ') && !/\/(leases|events)(\/|$)|round-/.test(line));
}
const PATCH = `PATCH ${LIST}`;
const listsSince = (from: number, through = door): string[] =>
  writesSince(from, through).filter((line) => line.endsWith(LIST));

/** The operator has done all that it does at once: a pool that comes now has been published. */
let rounds = 0;
async function round(): Promise<void> {
  const name = `round-${rounds++}`;
  await site.api.apply(pool('ml', name));
  await whenStatus(site.api, 'ml', name);
}

test('the proxies that are ready are listed in one ConfigMap, sorted, labelled, owned by the release', async () => {
  const list = await whenListed('one', 'two');
  const root = await site.api.read('/api/v1/namespaces/sluice/configmaps/sluice-root');
  expect(ProxiesDocument.parse(documentOf(list))).toEqual({ format: 1, kind: 'Proxies', ids: ['one', 'two'] });
  expect(list.metadata.labels).toEqual({
    'app.kubernetes.io/managed-by': 'sluice',
    'sluice.dev/install': 'sluice-root',
    'sluice.dev/config': 'proxies',
  });
  expect(list.metadata.ownerReferences).toEqual([
    { apiVersion: 'v1', kind: 'ConfigMap', name: 'sluice-root', uid: root.metadata.uid },
  ]);
});

test('a proxy that joins or leaves is one write, and no document or status is written', async () => {
  await site.api.apply(pool('ml', 'calm'));
  const { revision = '' } = await whenStatus(site.api, 'ml', 'calm');
  for (const { say } of proxies) say({ ...CALM, revision, state: 'loaded', message: '' });
  await whenStatus(site.api, 'ml', 'calm', ({ Programmed }) => Programmed === 'Programmed');
  const from = door.seen.length;
  const three = await join({ id: 'three' });
  await whenListed('one', 'three', 'two');
  await leave(three);
  await whenListed('one', 'two');
  expect(writesSince(from)).toEqual([PATCH, PATCH]);
  await site.api.call('DELETE', poolPath('ml', 'calm'));
  await eventually('withdrawn', isWithdrawn('calm'));
});

test('a stream that is cut and comes back writes nothing; with another id it takes the place of the first', async () => {
  const from = door.seen.length;
  await first().close();
  await join({ id: 'three' });
  await whenListed('one', 'three', 'two');
  await back('two');
  await round();
  expect(listsSince(from)).toEqual([PATCH]);
  first().rename('zero');
  first().cut();
  await whenListed('one', 'three', 'zero');
  expect(listsSince(from)).toEqual([PATCH, PATCH]);
});

test('a proxy that does not say what it is called is not listed', async () => {
  const older = await join({});
  await eventually('it is heard', () => older.streams() === 1);
  await join({ id: 'three' });
  await whenListed('one', 'three', 'two');
});

test('a rollout writes once a second at most', async () => {
  const from = door.seen.length;
  const startedAt = performance.now();
  const seconds = () => (performance.now() - startedAt) / 1000;
  const third = await join({ id: 'three' });
  for (let flip = 0; seconds() < 3; flip++) {
    third.rename(`three-${flip}`);
    third.cut();
    await eventually('it is heard', () => third.streams() === 1);
  }
  third.rename('last');
  third.cut();
  await whenListed('last', 'one', 'two');
  expect(writesSince(from).length).toBeGreaterThan(1);
  expect(writesSince(from).length).toBeLessThanOrEqual(1 + Math.ceil(seconds()));
});

test('a standby writes nothing, and when it leads it writes no list that is the same', async () => {
  const other = await startFaultProxy(site.api);
  await start(other.url);
  await join({ id: 'three' });
  const before = await whenListed('one', 'three', 'two');
  expect(writesSince(0, other)).toEqual([]);
  await operator.stop();
  await round();
  await join({ id: 'four' });
  await whenListed('four', 'one', 'three', 'two');
  expect(listsSince(0, other)).toEqual([PATCH]);
  expect((await site.api.read(LIST)).metadata.uid).toBe(before.metadata.uid);
  await programs.pop()?.stop();
  await other.close();
});

test('a start hears every proxy before it writes, and what it sweeps is not the list', async () => {
  await site.api.apply(pool('ml', 'swept'));
  await whenStatus(site.api, 'ml', 'swept');
  await operator.stop();
  await site.api.call('DELETE', poolPath('ml', 'swept'));
  const before = await site.api.read(LIST);
  await first().close();
  await start();
  await eventually('swept', isWithdrawn('swept'));
  await eventually('one is heard', () => proxies[1]?.streams() === 1);
  await round();
  await back('two');
  await round();
  expect((await site.api.read(LIST)).metadata.resourceVersion).toBe(before.metadata.resourceVersion);
});

test('a list that somebody spoils or deletes is made anew', async () => {
  const list = await whenListed('one', 'two');
  for (const spoilt of [
    { data: { 'config.json': '{}' } },
    { metadata: { ownerReferences: null } },
    { metadata: { labels: { 'sluice.dev/config': null } } },
  ]) {
    await site.api.call('PATCH', LIST, spoilt, 'application/merge-patch+json');
    await eventually('as it was', async () => {
      const { metadata, ...now } = await site.api.read(LIST);
      const { labels, ownerReferences } = metadata;
      expect({ ...now, labels, ownerReferences }).toMatchObject({
        ...{ data: list['data'], labels: list.metadata.labels },
        ownerReferences: list.metadata.ownerReferences,
      });
      return true;
    });
  }
  await site.api.call('DELETE', LIST);
  expect((await whenListed('one', 'two')).metadata.uid).not.toBe(list.metadata.uid);
});

test('a write that is refused is done in the end', async () => {
  for (const status of [409, 500]) {
    door.fault({ match: /PATCH .*sluice-proxies/, times: 2, answer: { status, body: '{}' } });
  }
  await join({ id: 'three' });
  await whenListed('one', 'three', 'two');
});

test('without a ready proxy there is no list', async () => {
  for (const proxy of proxies) await leave(proxy);
  await eventually('no list', isGone);
});

test('where there is no central proxy by design there is no list', async () => {
  await operator.stop();
  await start(door.url, '--proxy-service=');
  await eventually('no list', isGone);
});

test('a ConfigMap of that name that is not ours is never touched, and the log says so', async () => {
  await operator.stop();
  await site.api.call('DELETE', LIST);
  await site.api.apply({
    ...{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { namespace: 'sluice', name: 'sluice-proxies' } },
    data: { 'config.json': 'mine' },
  });
  const program = await start();
  await eventually('it says so', () => program.log.some((line) => String(line['msg']).includes('is not ours')));
  await round();
  expect((await site.api.read(LIST))['data']).toEqual({ 'config.json': 'mine' });
  await site.api.call('DELETE', LIST);
  await whenListed('one', 'two');
});
