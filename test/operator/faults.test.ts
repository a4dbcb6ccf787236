import { afterAll, beforeAll, expect, test } from 'vitest';
import type { KubeObject } from '../../kube/object.ts';
import { eventually } from '../support/eventually.ts';
import { type FaultProxy, startFaultProxy } from '../support/fault-proxy.ts';
import { freePort } from '../support/ports.ts';
import { type Program, startOperator } from '../support/program.ts';
import {
  documentOf,
  pool,
  poolPath,
  publishedFor,
  type Site,
  secret,
  service,
  slice,
  startSite,
  textOf,
} from './site.ts';

let site: Site;
const running: Program[] = [];
const proxies: FaultProxy[] = [];

beforeAll(async () => {
  site = await startSite();
});
afterAll(async () => {
  await endAll();
  await site?.stop();
});

async function endAll(): Promise<void> {
  await Promise.all(running.splice(0).map((program) => program.stop()));
  await Promise.all(proxies.splice(0).map((proxy) => proxy.close()));
}

async function operator(...[options]: Parameters<Site['operator']>): Promise<Program> {
  const program = await site.operator({ ...options, args: ['--proxy-service=', ...(options?.args ?? [])] });
  running.push(program);
  return program;
}

async function faults(): Promise<FaultProxy> {
  const proxy = await startFaultProxy(site.api);
  proxies.push(proxy);
  return proxy;
}

const published = (key: string) => publishedFor(site.api, `LLMPool/${key}`);
const whenPublished = (key: string, model?: string) =>
  eventually(
    `document of ${key}`,
    async () => {
      const { config } = await published(key);
      if (config === undefined) return undefined;
      return model === undefined || (documentOf(config)['models'] as string[]).includes(model) ? config : undefined;
    },
    { timeoutMs: 25_000 },
  );
const logged = (program: Program, text: string) => program.log.some((line) => JSON.stringify(line).includes(text));

/** An event of a pool has come since, and everything that the operator does at once has been done. */
async function whenSeen(program: Program): Promise<void> {
  const since = performance.now();
  await eventually('the operator has seen it', async () => {
    const metrics = await (await fetch(`${program.adminUrl}/metrics`)).text();
    const [, age] = /^sluice_watch_last_event_age_seconds\{resource="llmpools"\} (.*)$/m.exec(metrics) ?? [];
    // Seen not long after the write, and long enough ago for a publication.
    return Number(age) * 1000 < performance.now() - since + 100 && Number(age) > 0.2;
  });
}

test('an API server that cannot be reached at the start: it keeps trying, says so, and then publishes', async () => {
  await site.api.apply(pool('start', 'chat'));
  const env = await site.api.podEnv('sluice', 'sluice-operator');
  await site.api.pause();
  const program = await startOperator({ env, args: ['--proxy-service='], until: 'live' });
  running.push(program);
  await eventually('it says so', () => logged(program, 'ECONNREFUSED'));
  await eventually('and says what that means', () => logged(program, 'nothing is published before'), {
    timeoutMs: 20_000,
  });
  expect((await fetch(`${program.adminUrl}/readyz`)).status).toBe(503);
  await site.api.restart();
  await whenPublished('start/chat');
  await endAll();
});

test('nothing is swept while one kind could not be read, however long that takes', async () => {
  await site.api.apply(pool('whole', 'chat'));
  const first = await operator();
  await whenPublished('whole/chat');
  await first.stop();
  running.pop();
  await site.api.call('DELETE', poolPath('whole', 'chat'));
  const proxy = await faults();
  const forbidden = {
    kind: 'Status',
    apiVersion: 'v1',
    status: 'Failure',
    reason: 'Forbidden',
    code: 403,
    message: 'no',
  };
  const lift = proxy.fault({
    match: /GET \/api\/v1\/services/,
    times: Number.POSITIVE_INFINITY,
    answer: { status: 403, body: JSON.stringify(forbidden) },
  });
  const second = await operator({ server: proxy.url, until: 'live' });
  await eventually(
    'all else is read',
    async () => (await (await fetch(`${second.adminUrl}/readyz`)).text()) === 'not read yet: services\n',
  );
  await site.api.apply(pool('whole', 'late'));
  await whenSeen(second);
  expect((await published('whole/chat')).config).toBeDefined();
  expect((await published('whole/late')).config).toBeUndefined();
  lift();
  await eventually('swept', async () => (await published('whole/chat')).config === undefined, { timeoutMs: 25_000 });
  await endAll();
});

test('a list that leaves pools out takes nothing away: the API server is asked first', async () => {
  await site.api.apply(pool('lie', 'chat'));
  const proxy = await faults();
  const first = await operator();
  await whenPublished('lie/chat');
  await first.stop();
  running.pop();
  const empty = {
    apiVersion: 'sluice.dev/v1alpha1',
    kind: 'LLMPoolList',
    metadata: { resourceVersion: '1' },
    items: [],
  };
  proxy.fault({
    match: /GET \/apis\/sluice.dev\/v1alpha1\/llmpools\?(?!.*watch)/,
    answer: { status: 200, body: JSON.stringify(empty) },
  });
  const second = await operator({ server: proxy.url });
  await eventually('it says what it found', () => logged(second, 'nothing is taken away'));
  expect((await published('lie/chat')).config).toBeDefined();
  await endAll();
});

test('after the API server came back everything is published within ten seconds', async () => {
  await site.api.apply(pool('back', 'chat', { models: ['one'] }));
  await operator();
  await whenPublished('back/chat', 'one');
  await site.api.pause();
  await site.api.restart();
  const startedAt = performance.now();
  await site.api.apply(pool('back', 'chat', { models: ['two'] }));
  await whenPublished('back/chat', 'two');
  expect(performance.now() - startedAt).toBeLessThan(10_000);
  await endAll();
});

test('a write that the API server refuses for a while is done in the end', async () => {
  const proxy = await faults();
  const program = await operator({ server: proxy.url });
  for (const status of [500, 429, 409]) {
    const body = JSON.stringify({ kind: 'Status', status: 'Failure', reason: 'Odd', code: status, message: 'not now' });
    proxy.fault({ match: /POST \/api\/v1\/namespaces\/sluice\/configmaps/, times: 2, answer: { status, body } });
    await site.api.apply(pool('write', `chat-${status}`));
    await whenPublished(`write/chat-${status}`);
  }
  const metrics = await (await fetch(`${program.adminUrl}/metrics`)).text();
  expect(Number(/^sluice_reconcile_errors_total (\d+)$/m.exec(metrics)?.[1])).toBeGreaterThan(0);
  await endAll();
});

test('what a document needs is written before it, and what it needs no more is taken away after it', async () => {
  const proxy = await faults();
  await operator({ server: proxy.url });
  const backend = (name: string) => ({ name, service: { name, port: 8000 } });
  for (const name of ['old', 'new']) {
    await site.api.apply(service('order', name));
    await site.api.apply(slice('order', name, [name === 'old' ? '10.1.0.1' : '10.1.0.2']));
  }
  await site.api.apply(secret('order', 'keys', { key: 'one' }));
  const auth = { secretKeyRef: { name: 'keys', key: 'key' } };
  await site.api.apply(pool('order', 'chat', { models: ['before'], backends: [backend('old')] }));
  await whenPublished('order/chat', 'before');
  const from = proxy.seen.length;
  await site.api.apply(pool('order', 'chat', { models: ['after'], backends: [{ ...backend('new'), auth }] }));
  const writes = () =>
    proxy.seen
      .slice(from)
      .map(({ line }) => line)
      .filter((line) => /^(POST|PATCH|DELETE) \/api\/v1\/namespaces\/sluice/.test(line))
      .map((line) => line.replace(/ .*\/(configmaps|secrets)/, ' $1').replace(/\?.*/, ''));
  await eventually('four writes', () => writes().length === 4);
  expect(writes()).toEqual([
    'POST secrets',
    'PATCH configmaps/sluice-endpoints-order-chat',
    'PATCH configmaps/sluice-pool-order-chat',
    'PATCH configmaps/sluice-endpoints-order-chat',
  ]);
  const { endpoints } = await published('order/chat');
  expect(textOf(endpoints[0], 'endpoints.json')).not.toContain('10.1.0.1');
  await endAll();
});

test('a name that moves from one pool to another is published by the new one before the old one drops it', async () => {
  const proxy = await faults();
  await operator({ server: proxy.url });
  await site.api.apply(pool('move', 'older', { models: ['moving'] }));
  await whenPublished('move/older', 'moving');
  await site.api.apply(pool('move', 'younger', { models: ['moving', 'own'] }));
  await whenPublished('move/younger', 'own');
  proxy.fault({ match: /PATCH .*sluice-pool-move-younger/, delayMs: 50 });
  const from = proxy.seen.length;
  await site.api.apply(pool('move', 'older', { models: ['other'] }));
  await whenPublished('move/older', 'other');
  expect(documentOf((await published('move/younger')).config)['models']).toContain('moving');
  const patched = proxy.seen.slice(from).map(({ line }) => /PATCH .*\/sluice-pool-move-(\w+)/.exec(line)?.[1]);
  expect(patched.filter((name) => name !== undefined)).toEqual(['younger', 'older']);
  await endAll();
});

test('of two operators one leads; when it is stopped the other leads within 2 s and writes nothing anew', async () => {
  await site.api.apply(pool('two', 'chat'));
  const [one, other] = [await operator(), await operator()];
  await whenPublished('two/chat');
  const leads = async (program: Program) =>
    /^sluice_leader 1$/m.test(await (await fetch(`${program.adminUrl}/metrics`)).text());
  const isOne = await leads(one);
  expect(isOne).not.toBe(await leads(other));
  const [leader, standby] = isOne ? [one, other] : [other, one];
  const before = await published('two/chat');
  const stoppedAt = performance.now();
  expect(await leader.stop()).toBe(0);
  await eventually('the standby leads', () => leads(standby));
  expect(performance.now() - stoppedAt).toBeLessThan(2_500);
  await site.api.apply(pool('two', 'more'));
  await whenPublished('two/more');
  expect((await published('two/chat')).config).toEqual(before.config);
  await endAll();
});

test('when what owns everything goes, nothing is published any more until it is back', async () => {
  const program = await operator();
  await site.api.apply(pool('root', 'chat'));
  await whenPublished('root/chat');
  const path = '/api/v1/namespaces/sluice/configmaps/sluice-root';
  const root = await site.api.read(path);
  await site.api.call('DELETE', path);
  await eventually('it says so', () => logged(program, 'nothing is published until it is back'));
  await site.api.apply(pool('root', 'later'));
  await whenSeen(program);
  const before = await published('root/chat');
  expect((await published('root/later')).config).toBeUndefined();
  const { labels } = root.metadata;
  const [made] = await site.api.apply({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { namespace: 'sluice', name: 'sluice-root', labels },
  });
  const later = await whenPublished('root/later');
  expect(later.metadata.ownerReferences?.[0]?.uid).toBe(made?.metadata.uid);
  await eventually(
    'the others are owned by it too',
    async () => (await published('root/chat')).config?.metadata.ownerReferences?.[0]?.uid === made?.metadata.uid,
  );
  expect(textOf((await published('root/chat')).config)).toBe(textOf(before.config));
  await endAll();
});

test.each([
  [['--nonsense'], 'unknown flag --nonsense'],
  [['--allow-upstream=nonsense'], '--allow-upstream'],
  [['--kubeconfig=/does/not/exist'], '/does/not/exist'],
])('%j ends with exit code 2 and one clear line', async (args, text) => {
  const program = await startOperator({ args, until: 'started' });
  expect(await program.exited).toBe(2);
  expect(program.log).toHaveLength(1);
  expect(JSON.stringify(program.log)).toContain(text);
});

test('an admin port in use ends with exit code 2 and says which', async () => {
  const admin = await freePort();
  running.push(
    await startOperator({
      env: await site.api.podEnv('sluice', 'sluice-operator'),
      until: 'live',
      ports: { http: 0, admin },
    }),
  );
  const second = await startOperator({
    env: await site.api.podEnv('sluice', 'sluice-operator'),
    until: 'started',
    ports: { http: 0, admin },
  });
  expect(await second.exited).toBe(2);
  expect(JSON.stringify(second.log)).toContain(`EADDRINUSE: address already in use 127.0.0.1:${admin}`);
  await endAll();
});

test('watching some namespaces only, it needs no right outside them', async () => {
  const narrow = await startSite({ values: { watchNamespaces: ['ml'] } });
  try {
    await narrow.api.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'ml' } });
    await narrow.api.apply(pool('ml', 'chat'));
    await narrow.api.apply(pool('other', 'chat'));
    const program = await narrow.operator({ args: ['--watch-namespaces=ml', '--proxy-service='] });
    const find = (key: string): Promise<KubeObject | undefined> =>
      publishedFor(narrow.api, key).then(({ config }) => config);
    await eventually('published', () => find('LLMPool/ml/chat'));
    expect(await find('LLMPool/other/chat')).toBeUndefined();
    await program.stop();
  } finally {
    await narrow.stop();
  }
});
