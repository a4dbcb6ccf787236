import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type KubeClient, openClient } from '../../../kube/client.ts';
import { type ApiOptions, followApi } from '../../../proxy/config/api.ts';
import { type ApiServer, startApiServer } from '../../support/apiserver.ts';
import { eventually } from '../../support/eventually.ts';
import { type FaultProxy, startFaultProxy } from '../../support/fault-proxy.ts';
import { temporaryFolder } from '../../support/reaper.ts';
import { type Bench, credentials, endpoint, endpoints, keyedPool, openBench, ownerOf, pool } from './texts.ts';

const CHAT = 'LLMPool/ml/chat';
/** The sidecar's Role names these two and no other Secret. */
const READABLE = ['provider', 'other'];

let api: ApiServer;
let door: FaultProxy;
let namespace = '';
let made = 0;
const open: (() => Promise<void> | void)[] = [];

beforeAll(async () => {
  api = await startApiServer();
  door = await startFaultProxy(api);
});
afterAll(async () => {
  await door.close();
  await api.stop();
});
beforeEach(async () => {
  namespace = `config-${made++}`;
  await api.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } });
});
afterEach(async () => {
  door.resume();
  for (const close of open.splice(0).reverse()) await close();
});

interface Followed extends Bench {
  readonly stop: () => Promise<void>;
  readonly limit: () => number | undefined;
}

/** Follows the namespace with an account that may do no more than `rules` there. */
async function follow(rules: object[], options: Partial<ApiOptions> & { waitMs?: number } = {}): Promise<Followed> {
  const client = await clientWith(rules);
  const { waitMs, ...rest } = options;
  const bench = openBench(waitMs === undefined ? {} : { waitMs });
  const feed = followApi({
    client,
    namespace,
    documents: bench.documents,
    log: bench.heard.log,
    writeAfterMs: 1,
    ...rest,
  });
  let stopped: Promise<void> | undefined;
  const stop = (): Promise<void> => {
    stopped ??= feed.stop();
    return stopped;
  };
  open.push(client.close, bench.documents.close, stop);
  return { ...bench, stop, limit: () => bench.served.get(CHAT)?.document.maxConcurrent };
}

async function clientWith(rules: object[]): Promise<KubeClient> {
  const meta = { name: 'proxy', namespace };
  const group = 'rbac.authorization.k8s.io';
  await api.apply({ apiVersion: `${group}/v1`, kind: 'Role', metadata: meta, rules });
  await api.apply({
    ...{ apiVersion: `${group}/v1`, kind: 'RoleBinding', metadata: meta },
    roleRef: { apiGroup: group, kind: 'Role', name: 'proxy' },
    subjects: [{ kind: 'ServiceAccount', name: 'proxy', namespace }],
  });
  return openClient({ env: await api.podEnv(namespace, 'proxy', door.url) });
}

const READ = { apiGroups: [''], verbs: ['get', 'list', 'watch'] };
const CENTRAL = [{ ...READ, resources: ['configmaps', 'secrets'] }];
const SIDECAR = [
  { ...READ, resources: ['configmaps'] },
  { ...READ, resources: ['secrets'], resourceNames: READABLE },
];

function object(
  kind: string,
  name: string,
  label: string | undefined,
  data: Record<string, string>,
  extra: object = {},
) {
  const labels = label === undefined ? {} : { [`sluice.dev/${label}`]: 'pool' };
  return { apiVersion: 'v1', kind, metadata: { name, namespace, labels, ...extra }, ...{ [dataField(kind)]: data } };
}

function dataField(kind: string): string {
  return kind === 'Secret' ? 'stringData' : 'data';
}

const publish = {
  config: (name: string, text: string) => api.apply(object('ConfigMap', name, 'config', { 'config.json': text })),
  endpoints: (name: string, text: string) =>
    api.apply(object('ConfigMap', name, 'endpoints', { 'endpoints.json': text })),
  credentials: (name: string, text: string) =>
    api.apply(object('Secret', name, 'credentials', { 'credentials.json': text })),
  secret: (name: string, data: Record<string, string>) => api.apply(object('Secret', name, undefined, data)),
  remove: (plural: string, name: string) => api.call('DELETE', `/api/v1/namespaces/${namespace}/${plural}/${name}`),
};

async function publishChat(id: string, fields: object = {}): Promise<void> {
  await publish.credentials('chat-keys', credentials('chat', id, `sk-${id}`));
  await publish.endpoints('chat-0', endpoints('chat', 0, [endpoint('10.0.0.1')]));
  await publish.config('chat', keyedPool('chat', { credentials: { id }, ...fields }));
}

describe('what is published in the namespace', () => {
  test('is read whole, then followed: edits, rotations, addresses, deletions', async () => {
    await publishChat('1', { maxConcurrent: 1 });
    await publish.config('code', pool('code'));
    await api.apply(object('ConfigMap', 'foreign', undefined, { 'config.json': pool('foreign') }));
    const { documents, served, limit } = await follow(CENTRAL);
    await documents.whenSettled;
    expect(documents.source()).toBe('api');
    expect([...served.keys()].sort()).toEqual([CHAT, 'LLMPool/ml/code']);
    expect(served.get(CHAT)).toMatchObject({
      endpoints: [endpoint('10.0.0.1')],
      credentials: { 'provider/api-key': 'sk-1' },
    });
    await publishChat('2', { maxConcurrent: 2 });
    await eventually('the rotation', () => limit() === 2);
    expect(served.get(CHAT)?.credentials).toEqual({ 'provider/api-key': 'sk-2' });
    await publish.endpoints('chat-0', endpoints('chat', 0, [endpoint('10.0.0.1', { ready: false })]));
    await eventually('the address', () => served.get(CHAT)?.endpoints[0]?.ready === false);
    await publish.remove('configmaps', 'code');
    await eventually('the deletion', () => served.size === 1);
  });

  test('is served within milliseconds of its watch event', async () => {
    await publish.config('chat', pool('chat', { maxConcurrent: 0 }));
    const { documents, limit, batches } = await follow(CENTRAL);
    await documents.whenSettled;
    const times: number[] = [];
    for (let n = 1; n <= 40; n += 1) {
      const before = batches.length;
      const startedAt = performance.now();
      await publish.config('chat', pool('chat', { maxConcurrent: n }));
      await eventually('the edit', () => batches.length > before, { intervalMs: 0 });
      times.push(performance.now() - startedAt);
      expect(limit()).toBe(n);
    }
    times.sort((a, b) => a - b);
    // The write itself takes most of it.
    expect(times[20]).toBeLessThan(50);
  });

  test('is all that is asked for, and only in that namespace', async () => {
    await publishChat('1');
    const from = door.seen.length;
    const { documents } = await follow(CENTRAL);
    await documents.whenSettled;
    const lines = door.seen.slice(from).map(({ line }) => line);
    expect(lines.length).toBeGreaterThan(2);
    for (const line of lines) {
      expect(line).toMatch(new RegExp(`^GET /api/v1/namespaces/${namespace}/(configmaps|secrets)\\?`));
      expect(decodeURIComponent(line)).toMatch(/labelSelector=sluice\.dev\/(config|endpoints|credentials)(&|$)/);
    }
  });

  test('and bad is reported for the CR that the object names; the rest serves', async () => {
    await publish.config('code', pool('code'));
    const annotations = { 'sluice.dev/for': CHAT };
    await api.apply(object('ConfigMap', 'chat', 'config', { 'config.json': '{"half"' }, { annotations }));
    await api.apply(object('ConfigMap', 'empty', 'config', {}));
    const { documents, served } = await follow(CENTRAL);
    await documents.whenSettled;
    expect([...served.keys()]).toEqual(['LLMPool/ml/code']);
    expect(documents.reports()[0]).toMatchObject({ ...ownerOf('chat'), state: 'rejected' });
    expect(documents.strays()).toEqual([{ source: 'configmap/empty/config.json', message: 'has no config.json' }]);
    await publish.config('empty', pool('third'));
    await eventually('the third', () => served.size === 2);
    expect(documents.strays()).toEqual([]);
  });

  test('that nothing is, is settled too', async () => {
    const { documents } = await follow(CENTRAL);
    await documents.whenSettled;
    expect(documents.reports()).toEqual([]);
  });

  test('waits for Credentials that may not be read: a proxy that serves nothing is not ready', async () => {
    await publishChat('1');
    const { documents, heard } = await follow(SIDECAR, { waitMs: 50 });
    await eventually('the report', () => documents.reports()[0]?.state === 'rejected');
    expect(documents.settled()).toBe(false);
    expect(heard.lines.some(({ fields }) => JSON.stringify(fields).includes('secrets'))).toBe(true);
  });
});

describe('a sidecar, whose account may read its Secrets by name only', () => {
  test('is served with the user’s own Secrets, and asks for nothing else', async () => {
    await publish.secret('provider', { 'api-key': 'sk-1' });
    await publish.config('chat', keyedPool('chat').replaceAll('"namespace":"ml"', `"namespace":"${namespace}"`));
    const from = door.seen.length;
    const { documents, served } = await follow(SIDECAR);
    await documents.whenSettled;
    const key = (): unknown => served.get(`LLMPool/${namespace}/chat`)?.credentials['provider/api-key'];
    expect(key()).toBe('sk-1');
    await publish.secret('provider', { 'api-key': 'sk-2' });
    await eventually('the new key', () => key() === 'sk-2');
    await publish.remove('configmaps', 'chat');
    await eventually('the end', () => served.size === 0);
    expect(documents.wants().secrets.size).toBe(0);
    const secrets = door.seen.slice(from).filter(({ line }) => line.includes('/secrets'));
    for (const { line } of secrets) expect(decodeURIComponent(line)).toContain('fieldSelector=metadata.name=provider');
  });

  test('is ready without a document whose Secret it may not read, and says which', async () => {
    const here = (text: string): string => text.replaceAll('"namespace":"ml"', `"namespace":"${namespace}"`);
    await publish.secret('forbidden', { 'api-key': 'sk-1' });
    await publish.config('chat', here(keyedPool('chat')).replaceAll('"secret":"provider"', '"secret":"forbidden"'));
    await publish.config('code', here(pool('code')));
    const { documents, served } = await follow(SIDECAR, { waitMs: 100 });
    await documents.whenSettled;
    expect([...served.keys()]).toEqual([`LLMPool/${namespace}/code`]);
    expect(documents.reports()[0]?.message).toContain(`Secret ${namespace}/forbidden`);
  });

  test('lets nobody in while the Secret of clients is not there, and its clients once it is', async () => {
    const here = (text: string): string => text.replaceAll('"namespace":"ml"', `"namespace":"${namespace}"`);
    await publish.config('chat', here(pool('chat', { access: { secret: 'provider' } })));
    const { documents, served } = await follow(SIDECAR, { waitMs: 60_000 });
    await documents.whenSettled;
    const clients = (): string =>
      Object.keys(served.get(`LLMPool/${namespace}/chat`)?.clients ?? { nobody: '' }).join();
    expect(clients()).toBe('nobody');
    await publish.secret('provider', { ann: 'key of ann' });
    await eventually('ann', () => clients() === 'ann');
    await publish.secret('provider', { ann: 'key of ann', bob: 'key of bob' });
    await eventually('both', () => clients() === 'ann,bob');
    await publish.remove('secrets', 'provider');
    await eventually('nobody', () => clients() === 'nobody');
  });

  test('lets nobody in where it may not read the Secret of clients', async () => {
    const here = (text: string): string => text.replaceAll('"namespace":"ml"', `"namespace":"${namespace}"`);
    await publish.secret('forbidden', { ann: 'key of ann' });
    await publish.config('chat', here(pool('chat', { access: { secret: 'forbidden' } })));
    const { documents, served } = await follow(SIDECAR, { waitMs: 100 });
    await documents.whenSettled;
    await eventually('the document', () => served.size === 1);
    expect(served.get(`LLMPool/${namespace}/chat`)).toMatchObject({ document: { access: {} }, clients: undefined });
  });

  test('never takes a Secret of its own namespace for a document of another one', async () => {
    await publish.secret('provider', { 'api-key': 'sk-of-the-proxy' });
    await publish.config('chat', keyedPool('chat'));
    const { documents, served } = await follow(CENTRAL, { waitMs: 100 });
    await documents.whenSettled;
    expect(served.size).toBe(0);
    expect(documents.reports()[0]).toMatchObject({ state: 'rejected' });
  });
});

describe('when the API server does not answer', () => {
  /** A folder with the last good documents of what is published now. */
  async function snapshot(): Promise<string> {
    const snapshotDir = temporaryFolder('sluice-snapshot');
    const first = await follow(CENTRAL, { snapshotDir });
    await first.documents.whenSettled;
    await first.stop();
    return snapshotDir;
  }

  test('the last good documents serve after the time given, and the API server’s word counts when it is back', async () => {
    await publishChat('1', { maxConcurrent: 1 });
    await publish.config('code', pool('code'));
    const snapshotDir = await snapshot();
    door.stall('all');
    const startedAt = performance.now();
    const { documents, served, limit } = await follow(CENTRAL, { snapshotDir, answerWithinMs: 300 });
    await documents.whenSettled;
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(299);
    expect(documents.source()).toBe('snapshot');
    expect([...served.keys()].sort()).toEqual([CHAT, 'LLMPool/ml/code']);
    expect(served.get(CHAT)?.credentials).toEqual({ 'provider/api-key': 'sk-1' });
    expect(served.get(CHAT)?.endpoints).toEqual([endpoint('10.0.0.1')]);
    await publishChat('2', { maxConcurrent: 2 });
    await publish.remove('configmaps', 'code');
    door.resume();
    door.cut();
    await eventually('the API server’s word', () => documents.source() === 'api');
    await eventually('the edit', () => limit() === 2);
    await eventually('the deletion', () => served.size === 1);
    expect(served.get(CHAT)?.credentials).toEqual({ 'provider/api-key': 'sk-2' });
  });

  test('for some of it only, the pairs of last time serve until the new ones are whole', async () => {
    await publishChat('1', { maxConcurrent: 1 });
    const snapshotDir = await snapshot();
    await publishChat('2', { maxConcurrent: 2 });
    const heal = door.fault({ match: /\/secrets\?/, times: 1_000, answer: { status: 500 } });
    const { documents, limit, served } = await follow(CENTRAL, { snapshotDir, answerWithinMs: 300 });
    await documents.whenSettled;
    expect(documents.source()).toBe('snapshot');
    expect(limit()).toBe(1);
    expect(served.get(CHAT)?.credentials).toEqual({ 'provider/api-key': 'sk-1' });
    heal();
    await eventually('the new pair', () => limit() === 2);
    expect(served.get(CHAT)?.credentials).toEqual({ 'provider/api-key': 'sk-2' });
    await eventually('the API server’s word', () => documents.source() === 'api');
  });

  test('and there are none, it is not ready and says so, until there is an answer', async () => {
    await publishChat('1');
    door.stall('all');
    const snapshotDir = temporaryFolder('sluice-snapshot');
    const { documents, heard, served } = await follow(CENTRAL, { snapshotDir, answerWithinMs: 50 });
    const said = (): boolean => heard.lines.some(({ message }) => message.includes('no last good documents'));
    await eventually('the line', said);
    expect(documents.settled()).toBe(false);
    door.resume();
    door.cut();
    await documents.whenSettled;
    expect(documents.source()).toBe('api');
    expect(served.size).toBe(1);
  });

  test('late by less than that, nothing old is ever served', async () => {
    await publishChat('1', { maxConcurrent: 1 });
    const snapshotDir = await snapshot();
    await publishChat('1', { maxConcurrent: 2 });
    door.fault({ match: /configmaps/, times: 2, delayMs: 200 });
    const { documents, applied } = await follow(CENTRAL, { snapshotDir, answerWithinMs: 10_000 });
    await documents.whenSettled;
    expect(documents.source()).toBe('api');
    for (const input of applied) expect(input).toMatchObject({ document: { maxConcurrent: 2 } });
  });
});
