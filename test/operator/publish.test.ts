import { createHash } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { KubeObject } from '../../kube/object.ts';
import { eventually } from '../support/eventually.ts';
import type { Program } from '../support/program.ts';
import {
  documentOf,
  type PoolStatus,
  pool,
  poolPath,
  publishedFor,
  reasonsOf,
  type Site,
  secret,
  service,
  slice,
  startSite,
  textOf,
  whenStatus,
} from './site.ts';

let site: Site;
let operator: Program;

beforeAll(async () => {
  site = await startSite({ values: { sidecarNamespaces: ['apps', 'apps-b'], proxy: { enabled: false } } });
  for (const name of ['apps', 'apps-b']) await ensure(name);
  operator = await site.operator({ args: ['--proxy-service=', '--sidecar-namespaces=apps,apps-b'] });
});
afterAll(async () => {
  await operator?.stop();
  await site?.stop();
});

async function ensure(name: string): Promise<void> {
  await site.api.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
}

const CONFIG_MAPS = '/api/v1/namespaces/sluice/configmaps';
const published = (key: string, namespace?: string) => publishedFor(site.api, `LLMPool/${key}`, namespace);
const whenPublished = (key: string, holds: (document: Record<string, unknown>) => boolean = () => true) =>
  eventually(`document of ${key}`, async () => {
    const objects = await published(key);
    return objects.config && holds(documentOf(objects.config)) ? objects : undefined;
  });
const backendsOf = (document: Record<string, unknown>) => document['backends'] as { name: string; headers: object[] }[];
const versionOf = (object: KubeObject | undefined) => object?.metadata.resourceVersion;

/** A round through the whole operator: what was to be written before it has been written. */
let rounds = 0;
async function round(namespace: string): Promise<void> {
  const name = `round-${rounds++}`;
  await site.api.apply(pool(namespace, name));
  await whenPublished(`${namespace}/${name}`);
}

test('a pool becomes one ConfigMap: labelled, owned by the release, its revision in the status', async () => {
  await site.api.apply(pool('first', 'chat', { models: ['gpt-4o'] }));
  const { config } = await whenPublished('first/chat');
  const status = await whenStatus(site.api, 'first', 'chat');
  const root = await site.api.read(`${CONFIG_MAPS}/sluice-root`);
  expect(config?.metadata.name).toBe('sluice-pool-first-chat');
  expect(config?.metadata.labels).toMatchObject({
    'app.kubernetes.io/managed-by': 'sluice',
    'sluice.dev/install': 'sluice-root',
    'sluice.dev/config': 'pool',
  });
  expect(config?.metadata.ownerReferences).toEqual([
    { apiVersion: 'v1', kind: 'ConfigMap', name: 'sluice-root', uid: root.metadata.uid },
  ]);
  expect(documentOf(config)).toMatchObject({ format: 1, kind: 'LLMPool', namespace: 'first', models: ['gpt-4o'] });
  expect(status.revision).toBe(createHash('sha256').update(textOf(config)).digest('hex'));
  expect(status.models).toEqual(['gpt-4o']);
});

test('an edit that changes nothing, and a restart, write nothing', async () => {
  await site.api.apply(secret('still', 'keys', { key: 'one' }));
  await site.api.apply(service('still', 'vllm'));
  await site.api.apply(slice('still', 'vllm', ['10.1.0.1']));
  const backends = [
    { name: 'a', url: 'https://a.example.com', auth: { secretKeyRef: { name: 'keys', key: 'key' } } },
    { name: 'b', service: { name: 'vllm', port: 8000 } },
  ];
  await site.api.apply(pool('still', 'chat', { backends }));
  await whenPublished('still/chat');
  const status = await whenStatus(site.api, 'still', 'chat', ({ Programmed }) => Programmed === 'Published');
  const before = await published('still/chat');
  const object = await site.api.read(poolPath('still', 'chat'));
  await site.api.apply({
    ...pool('still', 'chat', { backends }),
    metadata: { namespace: 'still', name: 'chat', labels: { a: 'b' } },
  });
  await operator.stop();
  operator = await site.operator({ args: ['--proxy-service=', '--sidecar-namespaces=apps,apps-b'] });
  await round('still');
  const after = await published('still/chat');
  expect(versionOf(after.config)).toBe(versionOf(before.config));
  expect(versionOf(after.credentials)).toBe(versionOf(before.credentials));
  expect(after.endpoints.map(versionOf)).toEqual(before.endpoints.map(versionOf));
  expect(before.endpoints).toHaveLength(1);
  expect((await site.api.read(poolPath('still', 'chat')))['status']).toEqual(object['status']);
  expect(status.revision).toBeDefined();
});

test('an object of that name that is not ours is never touched, and the pool says so', async () => {
  const foreign = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { namespace: 'sluice', name: 'sluice-pool-taken-chat', labels: { mine: 'yes' } },
    data: { precious: 'yes' },
  };
  const [before] = await site.api.apply(foreign);
  await site.api.apply(secret('taken', 'keys', { key: 'one' }));
  const auth = { secretKeyRef: { name: 'keys', key: 'key' } };
  await site.api.apply(pool('taken', 'chat', { backends: [{ name: 'a', url: 'https://a.example.com', auth }] }));
  const status = await whenStatus(site.api, 'taken', 'chat', ({ Accepted }) => Accepted === '!ObjectExists');
  const accepted = status.conditions.find(({ type }) => type === 'Accepted');
  expect(accepted?.message).toContain('sluice/sluice-pool-taken-chat');
  const after = await site.api.read(`${CONFIG_MAPS}/sluice-pool-taken-chat`);
  expect(after).toEqual(before);
  expect(await published('taken/chat')).toEqual({ config: undefined, endpoints: [], credentials: undefined });
});

test('two tenants whose names run together get an object each, and neither blocks the other', async () => {
  await site.api.apply(pool('a', 'b-c', { models: ['one'] }));
  await whenPublished('a/b-c');
  await site.api.apply(pool('a-b', 'c', { models: ['two'] }));
  const second = await whenPublished('a-b/c');
  const first = await published('a/b-c');
  expect(first.config?.metadata.name).toBe('sluice-pool-a-b-c');
  expect(second.config?.metadata.name).toMatch(/^sluice-pool-a-b-c-[0-9a-f]{10}$/);
  expect(documentOf(first.config)['models']).toEqual(['one']);
  expect(documentOf(second.config)['models']).toEqual(['two']);
  await site.api.call('DELETE', poolPath('a', 'b-c'));
  await eventually('the first is gone', async () => (await published('a/b-c')).config === undefined);
  expect((await published('a-b/c')).config).toBeDefined();
});

test('many pools made at once under names that run together all end up published', async () => {
  const together = ['rx', 'rx-x', 'rx-x-x', 'rx-x-x-x'];
  for (const namespace of together) await ensure(namespace);
  const names = ['x-x-x-z', 'x-x-z', 'x-z', 'z'];
  await Promise.all(
    together.map((namespace, index) => site.api.apply(pool(namespace, names[index] ?? '', { models: [`m${index}`] }))),
  );
  const objects = await Promise.all(together.map((namespace, index) => whenPublished(`${namespace}/${names[index]}`)));
  expect(new Set(objects.map(({ config }) => config?.metadata.name)).size).toBe(4);
  expect(objects.map(({ config }) => documentOf(config)['models'])).toEqual([['m0'], ['m1'], ['m2'], ['m3']]);
});

test('deleting a pool takes all its objects away', async () => {
  await site.api.apply(secret('apps', 'keys', { key: 'one' }));
  await site.api.apply(service('apps', 'vllm'));
  await site.api.apply(slice('apps', 'vllm', ['10.1.0.1']));
  const backends = [
    { name: 'a', url: 'https://a.example.com', auth: { secretKeyRef: { name: 'keys', key: 'key' } } },
    { name: 'b', service: { name: 'vllm', port: 8000 } },
  ];
  await site.api.apply(pool('apps', 'gone', { backends }));
  await eventually('all of it is there', async () => {
    const [central, sidecar] = [await published('apps/gone'), await published('apps/gone', 'apps')];
    return central.credentials && central.endpoints.length === 1 && sidecar.config && sidecar.endpoints.length === 1;
  });
  await site.api.call('DELETE', poolPath('apps', 'gone'));
  const none = { config: undefined, endpoints: [], credentials: undefined };
  await eventually('all of it is gone', async () => {
    const left = [await published('apps/gone'), await published('apps/gone', 'apps')];
    return JSON.stringify(left) === JSON.stringify([none, none]);
  });
});

test('a rotated Secret is a new set of credentials and a new revision; no value leaves the Secrets', async () => {
  await site.api.apply(secret('rotate', 'keys', { key: 'first-value-of-the-key' }));
  const auth = { secretKeyRef: { name: 'keys', key: 'key' } };
  await site.api.apply(pool('rotate', 'chat', { backends: [{ name: 'a', url: 'https://a.example.com', auth }] }));
  await whenPublished('rotate/chat', (document) => document['credentials'] !== undefined);
  const idOf = async () => {
    const { config, credentials } = await published('rotate/chat');
    const held = documentOf(credentials, 'credentials.json') as { id: string; values: Record<string, string> };
    const named = documentOf(config)['credentials'] as { id: string };
    return { held, named: named.id, revision: createHash('sha256').update(textOf(config)).digest('hex') };
  };
  const first = await idOf();
  expect(first.held).toMatchObject({ id: first.named, values: { 'keys/key': 'first-value-of-the-key' } });
  await site.api.apply(secret('rotate', 'keys', { key: 'second-value-of-the-key' }));
  await eventually('the new value is published', async () => (await idOf()).named !== first.named);
  const second = await idOf();
  expect(second.held).toMatchObject({ id: second.named, values: { 'keys/key': 'second-value-of-the-key' } });
  expect(second.revision).not.toBe(first.revision);
  await site.api.apply(secret('rotate', 'keys', { key: 'second-value-of-the-key', other: 'unread' }));
  await round('rotate');
  expect((await idOf()).named).toBe(second.named);
  const maps = await site.api.read<{ items: KubeObject[] }>('/api/v1/configmaps');
  const events = await site.api.read('/apis/events.k8s.io/v1/events');
  const pools = await site.api.read('/apis/sluice.dev/v1alpha1/llmpools');
  expect(JSON.stringify([maps, events, pools, operator.log])).not.toContain('value-of-the-key');
});

test('a Secret that nobody had named is read when a pool names it', async () => {
  await site.api.apply(secret('late', 'keys', { key: 'late' }));
  await round('late');
  const auth = { secretKeyRef: { name: 'keys', key: 'key' } };
  await site.api.apply(pool('late', 'chat', { backends: [{ name: 'a', url: 'https://a.example.com', auth }] }));
  const { config } = await whenPublished('late/chat');
  expect(documentOf(config)['credentials']).toBeDefined();
});

test('a namespace of sidecars gets its own pools too: owned by them, without credentials and without Secrets', async () => {
  await site.api.apply(secret('apps-b', 'keys', { key: 'one' }));
  const auth = { secretKeyRef: { name: 'keys', key: 'key' } };
  await site.api.apply(pool('apps-b', 'chat', { backends: [{ name: 'a', url: 'https://a.example.com', auth }] }));
  const copy = await eventually('the copy', async () => (await published('apps-b/chat', 'apps-b')).config);
  const resource = await site.api.read(poolPath('apps-b', 'chat'));
  expect(copy.metadata.ownerReferences).toEqual([
    { apiVersion: 'sluice.dev/v1alpha1', kind: 'LLMPool', name: 'chat', uid: resource.metadata.uid },
  ]);
  expect(documentOf(copy)['credentials']).toBeUndefined();
  expect(JSON.stringify(backendsOf(documentOf(copy)))).toContain('"secret":"keys"');
  const { config } = await whenPublished('apps-b/chat');
  expect(documentOf(config)['credentials']).toBeDefined();
  expect((await published('apps-b/chat', 'apps-b')).credentials).toBeUndefined();
  expect((await published('apps-b/chat', 'apps')).config).toBeUndefined();
});

test('endpoints have objects of their own: a readiness flip changes no revision', async () => {
  await site.api.apply(service('flip', 'vllm'));
  await site.api.apply(slice('flip', 'vllm', ['10.1.0.1', '10.1.0.2']));
  await site.api.apply(pool('flip', 'chat', { backends: [{ name: 'b', service: { name: 'vllm', port: 8000 } }] }));
  await eventually('endpoints', async () => (await published('flip/chat')).endpoints.length === 1);
  await whenStatus(site.api, 'flip', 'chat', (_, { ready }) => ready === '2/2');
  const before = await published('flip/chat');
  const endpoints = [
    { addresses: ['10.1.0.1'], conditions: { ready: true } },
    { addresses: ['10.1.0.2'], conditions: { ready: false } },
  ];
  await site.api.apply(slice('flip', 'vllm', [], { endpoints }));
  const status = await whenStatus(site.api, 'flip', 'chat', (_, { ready }) => ready === '1/2');
  const after = await eventually('the flip is published', async () => {
    const objects = await published('flip/chat');
    const [now, then] = [objects, before].map(({ endpoints: [piece] }) => textOf(piece, 'endpoints.json'));
    return now === then ? undefined : objects;
  });
  expect(versionOf(after.config)).toBe(versionOf(before.config));
  expect(documentOf(after.endpoints[0], 'endpoints.json')).toMatchObject({
    kind: 'Endpoints',
    of: { kind: 'LLMPool', namespace: 'flip', name: 'chat' },
    piece: 0,
  });
  expect(status.readyEndpoints).toBe(1);
});

test('more than 250 endpoints stand in pieces; those that empty go', async () => {
  const many = (count: number, net: number) => Array.from({ length: count }, (_, index) => `10.${net}.0.${index + 1}`);
  await site.api.apply(service('many', 'vllm'));
  for (const net of [1, 2, 3]) {
    const { metadata, ...rest } = slice('many', 'vllm', many(100, net));
    await site.api.apply({ ...rest, metadata: { ...metadata, name: `vllm-${net}` } });
  }
  await site.api.apply(pool('many', 'chat', { backends: [{ name: 'b', service: { name: 'vllm', port: 8000 } }] }));
  await eventually('two pieces', async () => (await published('many/chat')).endpoints.length === 2);
  for (const net of [2, 3]) {
    await site.api.call('DELETE', `/apis/discovery.k8s.io/v1/namespaces/many/endpointslices/vllm-${net}`);
  }
  await eventually('one piece', async () => (await published('many/chat')).endpoints.length === 1);
  const { endpoints } = await published('many/chat');
  const { endpoints: entries } = documentOf(endpoints[0], 'endpoints.json') as { endpoints: object[] };
  expect(entries).toHaveLength(100);
});

test('an edit that the operator refuses keeps the last good document, and says which is served', async () => {
  await site.api.apply(pool('refused', 'chat'));
  await whenPublished('refused/chat');
  const good = await whenStatus(site.api, 'refused', 'chat', ({ Programmed }) => Programmed === 'Published');
  const before = await published('refused/chat');
  await site.api.apply(pool('refused', 'chat', { backends: [{ name: 'a', url: 'http://2852039166/' }] }));
  const status = await whenStatus(site.api, 'refused', 'chat', ({ Accepted }) => Accepted === '!Invalid');
  const programmed = status.conditions.find(({ type }) => type === 'Programmed');
  expect(programmed).toMatchObject({ status: 'False', reason: 'Pending', observedGeneration: 2 });
  expect(programmed?.message).toBe(`not accepted; revision ${good.revision?.slice(0, 8)}… is still served`);
  expect(status.revision).toBe(good.revision);
  expect(status.ready).toBe(good.ready);
  expect((await published('refused/chat')).config).toEqual(before.config);
  await site.api.apply(pool('refused', 'chat', { models: ['again'] }));
  await whenPublished('refused/chat', ({ models }) => (models as string[])[0] === 'again');
});

test('a document over 900 KiB is refused and the last good one stays', async () => {
  await site.api.apply(pool('large', 'chat'));
  await whenPublished('large/chat');
  const before = await published('large/chat');
  const headers = Array.from({ length: 8 }, (_, index) => ({ name: `x-${index}`, value: 'v'.repeat(4_000) }));
  const backends = Array.from({ length: 40 }, (_, index) => ({
    name: `b${index}`,
    url: 'https://a.example.com',
    headers,
  }));
  await site.api.apply(pool('large', 'chat', { backends }));
  const status = await whenStatus(site.api, 'large', 'chat', ({ Accepted }) => Accepted === '!DocumentTooLarge');
  expect(status.conditions.find(({ type }) => type === 'Accepted')?.message).toContain('900 KiB');
  expect((await published('large/chat')).config).toEqual(before.config);
});

test('what somebody spoils or deletes of ours is put right', async () => {
  await site.api.apply(pool('mend', 'chat'));
  await whenPublished('mend/chat');
  await whenStatus(site.api, 'mend', 'chat');
  const before = await published('mend/chat');
  const path = `${CONFIG_MAPS}/sluice-pool-mend-chat`;
  await site.api.call('PATCH', path, { data: { 'config.json': '{}' } }, 'application/merge-patch+json');
  await eventually('mended', async () => textOf((await published('mend/chat')).config) === textOf(before.config));
  await site.api.call('PATCH', path, { metadata: { ownerReferences: null } }, 'application/merge-patch+json');
  await eventually(
    'owned again',
    async () => (await published('mend/chat')).config?.metadata.ownerReferences?.length === 1,
  );
  await site.api.call('DELETE', path);
  await eventually('made anew', async () => textOf((await published('mend/chat')).config) === textOf(before.config));
});

test('of two objects for one pool the one that proxies do not use is removed', async () => {
  await site.api.apply(pool('twice', 'chat'));
  const { config } = await whenPublished('twice/chat');
  const { labels, annotations } = config?.metadata ?? {};
  const copy = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { namespace: 'sluice', name: 'zz-copy', labels, annotations },
  };
  await site.api.call('POST', CONFIG_MAPS, { ...copy, data: config?.['data'] });
  await eventually('removed', async () => (await site.api.call('GET', `${CONFIG_MAPS}/zz-copy`)).status === 404);
  expect((await published('twice/chat')).config?.metadata.name).toBe('sluice-pool-twice-chat');
});

test('what is published for a pool that is not there is swept; another install is left alone', async () => {
  const object = (name: string, install: string) => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: {
      ...{ namespace: 'sluice', name },
      labels: { 'app.kubernetes.io/managed-by': 'sluice', 'sluice.dev/install': install, 'sluice.dev/config': 'pool' },
      annotations: { 'sluice.dev/for': 'LLMPool/nowhere/chat' },
    },
    data: { 'config.json': '{}' },
  });
  await site.api.apply(object('orphan', 'sluice-root'));
  await site.api.apply(object('others', 'another-root'));
  await eventually('swept', async () => (await site.api.call('GET', `${CONFIG_MAPS}/orphan`)).status === 404);
  await round('sweep');
  expect((await site.api.call('GET', `${CONFIG_MAPS}/others`)).status).toBe(200);
});

test('an embedding instance has its document, its status and a name of its own beside a pool of that name', async () => {
  const spec = {
    instanceName: 'embed',
    model: 'BAAI/bge-small-en-v1.5',
    protocol: 'HTTP',
    url: 'https://tei.example.com',
  };
  const metadata = { namespace: 'both', name: 'same' };
  await site.api.apply({ apiVersion: 'sluice.dev/v1alpha1', kind: 'EmbeddingInstance', metadata, spec });
  await site.api.apply(pool('both', 'same'));
  await whenPublished('both/same');
  const { config } = await publishedFor(site.api, 'EmbeddingInstance/both/same');
  expect(config?.metadata).toMatchObject({
    name: 'sluice-instance-both-same',
    labels: { 'sluice.dev/config': 'instance' },
  });
  expect(documentOf(config)).toMatchObject({ kind: 'EmbeddingInstance', instanceName: 'embed', named: true });
  const path = '/apis/sluice.dev/v1alpha1/namespaces/both/embeddinginstances/same';
  const status = await eventually(
    'its status',
    async () => (await site.api.read(path))['status'] as PoolStatus | undefined,
  );
  expect(reasonsOf(status)).toMatchObject({ Accepted: 'Accepted', Programmed: 'Published', Ready: 'Ready' });
  expect(status).toMatchObject({ ready: '1/1', revision: createHash('sha256').update(textOf(config)).digest('hex') });
  await site.api.call('DELETE', path);
  await eventually('gone', async () => {
    const { config: left } = await publishedFor(site.api, 'EmbeddingInstance/both/same');
    return left === undefined;
  });
  expect((await published('both/same')).config).toBeDefined();
});
