import { createHash } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { KubeObject } from '../../kube/object.ts';
import { eventually } from '../support/eventually.ts';
import type { Program } from '../support/program.ts';
import { documentOf, pool, publishedFor, type Site, secret, startSite, textOf, whenStatus } from './site.ts';

let site: Site;
let operator: Program;

beforeAll(async () => {
  site = await startSite({ values: { sidecarNamespaces: ['apps'], proxy: { enabled: false } } });
  await site.api.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'apps' } });
  operator = await site.operator({ args: ['--proxy-service=', '--sidecar-namespaces=apps'] });
});
afterAll(async () => {
  await operator?.stop();
  await site?.stop();
});

const access = { secretRef: { name: 'clients' } };

/** The id of the credentials once they hold these keys' hashes and the document names them; undefined: no clients. */
function whenLetIn(key: string, keys: Record<string, string> | undefined): Promise<string> {
  const hashes = Object.entries(keys ?? {}).map(([name, text]) => [
    name,
    createHash('sha256').update(text).digest('hex'),
  ]);
  const expected = keys && JSON.stringify(Object.fromEntries(hashes));
  return eventually(`clients ${Object.keys(keys ?? {})}`, async () => {
    const { config, credentials } = await publishedFor(site.api, key);
    const { id, clients } = documentOf(credentials, 'credentials.json') as { id: string; clients?: object };
    const { id: named } = documentOf(config)['credentials'] as { id: string };
    return named === id && JSON.stringify(clients) === expected ? id : undefined;
  });
}

test('client keys are published as their sha256, and each other set of them as new credentials', async () => {
  await site.api.apply(pool('apps', 'chat', { access }));
  const ids = [await whenLetIn('LLMPool/apps/chat', undefined)];
  const status = await whenStatus(site.api, 'apps', 'chat', ({ ResolvedRefs }) => ResolvedRefs === '!SecretNotFound');
  const { message } = status.conditions.find(({ type }) => type === 'ResolvedRefs') ?? {};
  expect(message).toMatch(/^spec.access.secretRef: Secret 'clients' is not in namespace apps, or has no label/);
  for (const keys of [{ ann: 'client-key-a' }, { ann: 'client-key-b' }, { ann: 'client-key-b', bob: 'client-key-c' }]) {
    await site.api.apply(secret('apps', 'clients', keys));
    ids.push(await whenLetIn('LLMPool/apps/chat', keys));
  }
  await whenStatus(site.api, 'apps', 'chat', ({ ResolvedRefs }) => ResolvedRefs === 'ResolvedRefs');
  const unlabelled = { metadata: { labels: { 'sluice.dev/credential': null } } };
  await site.api.call('PATCH', '/api/v1/namespaces/apps/secrets/clients', unlabelled, 'application/merge-patch+json');
  ids.push(await whenLetIn('LLMPool/apps/chat', undefined));
  expect(new Set(ids).size).toBe(ids.length);
  const { items } = await site.api.read<{ items: KubeObject[] }>('/api/v1/namespaces/sluice/secrets');
  const maps = await site.api.read('/api/v1/configmaps');
  const pools = await site.api.read('/apis/sluice.dev/v1alpha1/llmpools');
  const said = [items.map((object) => textOf(object, 'credentials.json')), maps, pools, operator.log];
  expect(JSON.stringify(said)).not.toContain('client-key');
});

test('a sidecar’s copy names the Secret and has no credentials: it reads the user’s own', async () => {
  await site.api.apply(pool('apps', 'own', { access }));
  const copy = await eventually(
    'the copy',
    async () => (await publishedFor(site.api, 'LLMPool/apps/own', 'apps')).config,
  );
  expect(documentOf(copy)).toMatchObject({ access: { secret: 'clients' } });
  expect(documentOf(copy)['credentials']).toBeUndefined();
});

test('an instance lets its clients in as a pool does', async () => {
  const keys = { ann: 'client-key-a' };
  await site.api.apply(secret('emb', 'clients', keys));
  const metadata = { namespace: 'emb', name: 'bge' };
  const spec = { protocol: 'HTTP', url: 'https://tei.example.com', access };
  await site.api.apply({ apiVersion: 'sluice.dev/v1alpha1', kind: 'EmbeddingInstance', metadata, spec });
  await whenLetIn('EmbeddingInstance/emb/bge', keys);
});
