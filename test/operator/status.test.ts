import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { KubeObject } from '../../kube/object.ts';
import type { ConfigReport } from '../../proxy/config/schema.ts';
import { asset } from '../support/assets.ts';
import { eventually } from '../support/eventually.ts';
import type { Program } from '../support/program.ts';
import { type FakeProxy, startFakeProxy } from './config-reports.ts';
import {
  documentOf,
  pool,
  poolPath,
  proxySlice,
  publishedFor,
  reasonsOf,
  type Site,
  service,
  slice,
  startSite,
  statusOf,
  whenStatus,
} from './site.ts';

let site: Site;
let operator: Program;
let proxies: FakeProxy[];

beforeAll(async () => {
  site = await startSite();
  proxies = [await startFakeProxy(), await startFakeProxy()];
  await ready(0, 1);
  operator = await site.operator();
});
afterAll(async () => {
  await operator?.stop();
  for (const proxy of proxies ?? []) await proxy.close();
  await site?.stop();
});

/** These proxies are ready; the others are there and not ready. */
async function ready(...which: number[]): Promise<void> {
  for (const [index, { port }] of proxies.entries()) await site.api.apply(proxySlice(port, which.includes(index)));
}

const report = (name: string, revision: string, over: Partial<ConfigReport> = {}): ConfigReport => ({
  ...{ kind: 'LLMPool', namespace: 'ml', name, revision, state: 'loaded', message: '' },
  ...over,
});
const say = (reports: ConfigReport, ...which: readonly number[]): void => {
  for (const index of which) proxies[index]?.say(reports);
};
const conditionOf = (status: { conditions: readonly { type: string }[] }, type: string) =>
  status.conditions.find((condition) => condition.type === type) as Record<string, unknown> | undefined;

async function revisionOf(name: string): Promise<string> {
  const { revision } = await whenStatus(site.api, 'ml', name, (_, status) => status.revision !== undefined);
  return revision ?? '';
}

/** Makes a pool that both proxies serve. */
async function programmed(name: string, spec: object = {}): Promise<string> {
  await site.api.apply(pool('ml', name, spec));
  const revision = await revisionOf(name);
  say(report(name, revision), 0, 1);
  await whenStatus(site.api, 'ml', name, ({ Programmed }) => Programmed === 'Programmed');
  return revision;
}

async function eventsOf(name: string): Promise<KubeObject[]> {
  const { items } = await site.api.read<{ items: KubeObject[] }>('/apis/events.k8s.io/v1/namespaces/ml/events');
  return items.filter((event) => (event['regarding'] as { name: string }).name === name);
}

test('all five conditions are there from the start, each with its generation', async () => {
  await site.api.apply(pool('ml', 'five'));
  const status = await whenStatus(site.api, 'ml', 'five');
  expect(reasonsOf(status)).toEqual({
    Accepted: 'Accepted',
    NamesClaimed: 'NamesClaimed',
    ResolvedRefs: 'ResolvedRefs',
    Programmed: '!Pending',
    Ready: 'Ready',
  });
  for (const condition of status.conditions) expect(condition.observedGeneration).toBe(1);
  expect(status).toMatchObject({ observedGeneration: 1, endpoints: 1, readyEndpoints: 1, ready: '1/1' });
});

test('Programmed is True once every ready proxy serves the revision, and says how many do until then', async () => {
  await site.api.apply(pool('ml', 'count'));
  const revision = await revisionOf('count');
  say(report('count', revision), 0);
  const pending = await whenStatus(site.api, 'ml', 'count', (_, status) =>
    String(conditionOf(status, 'Programmed')?.['message']).startsWith('1 of'),
  );
  expect(conditionOf(pending, 'Programmed')).toMatchObject({
    status: 'False',
    reason: 'Pending',
    message: '1 of 2 proxies',
  });
  say(report('count', revision), 1);
  await whenStatus(site.api, 'ml', 'count', ({ Programmed }) => Programmed === 'Programmed');
});

test('a proxy that refuses a document is quoted', async () => {
  await site.api.apply(pool('ml', 'quoted'));
  const revision = await revisionOf('quoted');
  say(report('quoted', revision), 0);
  say(report('quoted', revision, { state: 'rejected', message: 'backends[0]: cannot be served' }), 1);
  const status = await whenStatus(site.api, 'ml', 'quoted', ({ Programmed }) => Programmed === '!Rejected');
  expect(conditionOf(status, 'Programmed')?.['message']).toContain('backends[0]: cannot be served');
});

test('a proxy that leaves, comes back or starts anew writes nothing to a programmed pool', async () => {
  const revision = await programmed('calm');
  const before = await site.api.read(poolPath('ml', 'calm'));
  await ready(0);
  await eventually('its stream ends', () => proxies[1]?.streams() === 0);
  await proxies[1]?.close();
  proxies[1] = await startFakeProxy({ port: proxies[1]?.port ?? 0 });
  await ready(0, 1);
  await eventually('it is heard again', () => proxies[1]?.streams() === 1);
  proxies[0]?.cut();
  await eventually('and so is the other', () => proxies[0]?.streams() === 1);
  // Another pool uses up its turns for status writes and waits for more: one that waited for a turn would have had it.
  for (let edit = 0; edit < 3; edit++) await programmed('calm-witness', { maxConcurrent: edit });
  expect((await site.api.read(poolPath('ml', 'calm'))).metadata.resourceVersion).toBe(before.metadata.resourceVersion);
  say(report('calm', revision), 1);
});

test('without a ready proxy a pool is not programmed', async () => {
  const revision = await programmed('alone');
  await ready();
  await whenStatus(site.api, 'ml', 'alone', ({ Programmed }) => Programmed === '!NoProxy');
  await ready(0, 1);
  say(report('alone', revision), 0, 1);
  await whenStatus(site.api, 'ml', 'alone', ({ Programmed }) => Programmed === 'Programmed');
});

test('an operator that starts anew changes no Programmed before it has heard the proxies', async () => {
  await programmed('patient');
  const before = await site.api.read(poolPath('ml', 'patient'));
  await operator.stop();
  await proxies[1]?.close();
  operator = await site.operator();
  await eventually('the proxy that is there is heard', () => proxies[0]?.streams() === 1);
  proxies[1] = await startFakeProxy({ port: proxies[1]?.port ?? 0 });
  const { revision } = (await statusOf(site.api, 'ml', 'patient')) ?? {};
  say(report('patient', revision ?? ''), 1);
  await programmed('patient-witness');
  expect((await site.api.read(poolPath('ml', 'patient')))['status']).toEqual(before['status']);
});

test('lastTransitionTime changes only with the status of its condition', async () => {
  await programmed('time');
  const before = await whenStatus(site.api, 'ml', 'time');
  await site.api.apply(pool('ml', 'time', { strategy: 'RoundRobin' }));
  const after = await whenStatus(site.api, 'ml', 'time');
  expect(conditionOf(after, 'Accepted')).toEqual({ ...conditionOf(before, 'Accepted'), observedGeneration: 2 });
});

test('what a pool refers to and what it lost is told by name', async () => {
  await site.api.apply(pool('ml', 'holder', { models: ['wanted'] }));
  await whenStatus(site.api, 'ml', 'holder');
  const auth = { secretKeyRef: { name: 'nowhere', key: 'key' } };
  const backends = [
    { name: 'good', url: 'https://a.example.com' },
    { name: 'keyless', url: 'https://b.example.com', auth },
  ];
  await site.api.apply(pool('ml', 'loser', { models: ['wanted', 'own'], backends }));
  const status = await whenStatus(site.api, 'ml', 'loser');
  expect(reasonsOf(status)).toMatchObject({ NamesClaimed: '!NameConflict', ResolvedRefs: '!SecretNotFound' });
  expect(conditionOf(status, 'NamesClaimed')?.['message']).toContain('ml/holder');
  expect(conditionOf(status, 'ResolvedRefs')?.['message']).toMatch(/keyless.*nowhere|nowhere.*keyless/);
  expect(status.models).toEqual(['own']);
  const { config } = await publishedFor(site.api, 'LLMPool/ml/loser');
  expect((documentOf(config)['backends'] as { name: string }[]).map(({ name }) => name)).toEqual(['good']);
});

test('the pool that lost a name gets it when the other goes', async () => {
  await site.api.apply(pool('ml', 'elder', { models: ['heritage'] }));
  await whenStatus(site.api, 'ml', 'elder');
  await site.api.apply(pool('ml', 'heir', { models: ['heritage'] }));
  await whenStatus(site.api, 'ml', 'heir', ({ NamesClaimed }) => NamesClaimed === '!NameConflict');
  await site.api.call('DELETE', poolPath('ml', 'elder'));
  const status = await whenStatus(site.api, 'ml', 'heir', ({ NamesClaimed }) => NamesClaimed === 'NamesClaimed');
  expect(status.models).toEqual(['heritage']);
});

test('each change of a condition is an Event, but one reason only once in five minutes', async () => {
  await programmed('told');
  for (const strategy of ['RoundRobin', 'Failover', 'Weighted']) {
    await site.api.apply(pool('ml', 'told', { strategy }));
    await whenStatus(site.api, 'ml', 'told', (_, { observedGeneration }) => observedGeneration > 1);
  }
  const revision = await revisionOf('told');
  say(report('told', revision), 0, 1);
  await whenStatus(site.api, 'ml', 'told', ({ Programmed }) => Programmed === 'Programmed');
  const events = await eventually('Events', async () => {
    const all = await eventsOf('told');
    return all.some((event) => event['reason'] === 'Programmed') ? all : undefined;
  });
  const reasons = events.map((event) => String(event['reason'])).sort();
  expect(reasons).toEqual([...new Set(reasons)]);
  const accepted = events.find((event) => event['reason'] === 'Accepted');
  expect(accepted).toMatchObject({ type: 'Normal', reportingController: 'sluice.dev/operator' });
  expect(String(accepted?.['note'])).toMatch(/^Accepted is True/);
});

test('however often a pool changes, its status is written three times at once and then once a second', async () => {
  await site.api.apply(service('ml', 'busy'));
  await site.api.apply(slice('ml', 'busy', ['10.1.0.1', '10.1.0.2']));
  await programmed('busy', { backends: [{ name: 'a', service: { name: 'busy', port: 8000 } }] });
  const startedAt = performance.now();
  const seconds = () => (performance.now() - startedAt) / 1000;
  const statuses = new Set<string>();
  for (let flip = 0; seconds() < 3; flip++) {
    const addresses = Array.from({ length: 1 + (flip % 90) }, (_, index) => `10.1.0.${index + 1}`);
    await site.api.apply(slice('ml', 'busy', addresses));
    statuses.add((await site.api.read(poolPath('ml', 'busy'))).metadata.resourceVersion ?? '');
  }
  expect(statuses.size).toBeGreaterThan(3);
  expect(statuses.size).toBeLessThanOrEqual(1 + 3 + Math.ceil(seconds()));
  await site.api.apply(slice('ml', 'busy', ['10.1.0.1', '10.1.0.2']));
  await whenStatus(site.api, 'ml', 'busy', (_, { ready: counts }) => counts === '2/2');
});

test('somebody who writes into the status is corrected', async () => {
  await programmed('bent');
  const before = await statusOf(site.api, 'ml', 'bent');
  const bent = { status: { ready: '9/9', conditions: [] } };
  await site.api.call('PATCH', `${poolPath('ml', 'bent')}/status`, bent, 'application/merge-patch+json');
  const status = await whenStatus(site.api, 'ml', 'bent', ({ Programmed }) => Programmed === 'Programmed');
  expect(status.ready).toBe(before?.ready);
});

test('the metrics say who leads, what is published and how long an edit took to be served', async () => {
  await programmed('measured');
  const metrics = await (await fetch(`${operator.adminUrl}/metrics`)).text();
  const value = (name: string): number => Number(new RegExp(`^${name} (.*)$`, 'm').exec(metrics)?.[1]);
  expect(value('sluice_leader')).toBe(1);
  expect(value('sluice_published_documents')).toBeGreaterThan(0);
  expect(value('sluice_reconcile_seconds_count')).toBeGreaterThan(0);
  expect(value('sluice_reconcile_errors_total')).toBe(0);
  expect(value('sluice_propagation_seconds_count')).toBeGreaterThan(0);
  for (const resource of ['llmpools', 'pods', 'secrets', 'configmaps', 'endpointslices']) {
    expect(value(`sluice_watch_last_event_age_seconds\\{resource="${resource}"\\}`)).toBeLessThan(60);
  }
  expect((await fetch(`${operator.adminUrl}/livez`)).status).toBe(200);
  expect((await fetch(`${operator.adminUrl}/nothing`)).status).toBe(404);
  expect((await fetch(`${operator.adminUrl}/metrics`, { method: 'POST' })).status).toBe(405);
});

test('kubectl wait holds until the proxies serve the edit, and kubectl get prints what the status says', async () => {
  await programmed('printed');
  await site.api.apply(pool('ml', 'printed', { strategy: 'RoundRobin' }));
  const waiting = kubectl('wait', '--for=condition=Programmed', 'pool/printed', '--timeout=20s');
  const revision = await revisionOf('printed');
  say(report('printed', revision), 0, 1);
  expect(await waiting).toContain('condition met');
  expect((await statusOf(site.api, 'ml', 'printed'))?.observedGeneration).toBe(2);
  const [head, row] = (await kubectl('get', 'pool', 'printed')).split('\n').map((line) => line.split(/ {2,}/));
  expect(head).toEqual(['NAME', 'MODELS', 'ENDPOINTS', 'PROGRAMMED', 'READY', 'AGE']);
  expect(row?.slice(1, 5)).toEqual(['["printed"]', '1/1', 'True', 'True']);
});

async function kubectl(...args: string[]): Promise<string> {
  const command = ['--kubeconfig', site.api.kubeconfig, '--namespace', 'ml', ...args];
  return (await promisify(execFile)(asset('kubectl'), command)).stdout;
}
