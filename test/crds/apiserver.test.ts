import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { explain } from '../../crds/explain.ts';
import type { KubeObject } from '../../kube/object.ts';
import { type ApiServer, startApiServer } from '../support/apiserver.ts';
import { asset } from '../support/assets.ts';
import { type Case, collectionOf, readCases, schemaOf } from './cases.ts';
import { mutate, seeded } from './mutate.ts';

let api: ApiServer;
beforeAll(async () => {
  api = await startApiServer();
  await api.apply(join(import.meta.dirname, '../../crds'));
});
afterAll(() => api.stop());

/** Creates it as a dry run: everything the API server does but for storing. */
async function create({ kind, ...rest }: Case['object']): Promise<{ status: number; body: KubeObject }> {
  const path = `${collectionOf(kind)}?dryRun=All&fieldValidation=Strict`;
  return api.call('POST', path, { kind, ...rest });
}

const pool = (name: string) => ({
  apiVersion: 'sluice.dev/v1alpha1',
  kind: 'LLMPool',
  metadata: { name, namespace: 'default' },
});

describe('a valid CR is accepted, and zod gives the object the API server gives', () => {
  test.each(readCases('valid'))('$file', async ({ object }) => {
    const { status, body } = await create(object);
    expect(status, JSON.stringify(body['message'])).toBe(201);
    const parsed = schemaOf(object.kind).safeParse(object);
    expect(parsed.error === undefined ? [] : explain(parsed.error)).toEqual([]);
    expect(parsed.data).toMatchObject({ spec: body['spec'] });
    expect(body['spec']).toEqual((parsed.data as KubeObject)['spec']);
    expect(schemaOf(object.kind).parse(body)).toMatchObject({ spec: body['spec'] });
  });
});

describe('an invalid CR is refused by the API server and by zod, and both name the field', () => {
  test.each(readCases('invalid'))('$file', async ({ object, expected }) => {
    expect(expected).not.toBe('');
    const { status, body } = await create(object);
    expect([400, 422], `${status}`).toContain(status);
    expect(body['message']).toContain(expected);
    const parsed = schemaOf(object.kind).safeParse(object);
    expect(parsed.error && explain(parsed.error).join('\n')).toContain(expected);
  });
});

test('2,000 CRs with a random fault each: the API server and zod agree, on the object too', async () => {
  const random = seeded(4);
  const originals = readCases('valid');
  const counts = { accepted: 0, refused: 0 };
  for (let round = 0; round < 2_000; round++) {
    const { object } = originals[round % originals.length] as Case;
    const mutated = { ...object, spec: mutate(object['spec'], random) };
    const { status, body } = await create(mutated);
    const parsed = schemaOf(object.kind).safeParse(mutated);
    expect(parsed.success, `${JSON.stringify(mutated)} ${body['message']}`).toBe(status === 201);
    if (parsed.success) expect(parsed.data).toMatchObject({ spec: body['spec'] });
    counts[parsed.success ? 'accepted' : 'refused']++;
  }
  expect(counts.accepted).toBeGreaterThan(200);
  expect(counts.refused).toBeGreaterThan(1_000);
});

test('the largest pool stays within what the API server spends on rules', async () => {
  const headers = Array.from({ length: 32 }, (_, index) => ({ name: `x-${index}`.padEnd(256, 'a'), value: 'b' }));
  const backends = Array.from({ length: 64 }, (_, index) => ({
    name: `b${index}`,
    url: `http://llm-${index}/`.padEnd(2_048, 'a'),
    headers,
  }));
  const { status, body } = await create({ ...pool('largest'), spec: { backends } });
  expect(status, JSON.stringify(body['message'])).toBe(201);
});

test('two field managers each add a backend to one pool, and both stay', async () => {
  const path = `${collectionOf('LLMPool')}/shared`;
  for (const manager of ['one', 'two']) {
    const backends = [{ name: manager, url: `http://${manager}/v1` }];
    const query = `?fieldManager=${manager}&fieldValidation=Strict`;
    const object = { ...pool('shared'), spec: { backends } };
    const { status } = await api.call('PATCH', path + query, object, 'application/apply-patch+yaml');
    expect(status).toBeLessThan(300);
  }
  const { spec } = await api.read(path);
  expect(spec).toMatchObject({ backends: [{ name: 'one' }, { name: 'two' }] });
});

test('a status is written apart, and its conditions are merged by type', async () => {
  const path = `${collectionOf('LLMPool')}/shared`;
  const before = await api.read(path);
  for (const type of ['Accepted', 'Ready']) {
    const times = { lastTransitionTime: '2026-01-01T00:00:00Z', observedGeneration: 1 };
    const conditions = [{ type, status: 'True', reason: type, message: '', ...times }];
    const object = { ...pool('shared'), status: { conditions, ready: '1/2' } };
    const query = `?fieldManager=${type}&force=true&fieldValidation=Strict`;
    await api.call('PATCH', `${path}/status${query}`, object, 'application/apply-patch+yaml');
  }
  const after = await api.read(path);
  expect(after['status']).toMatchObject({ conditions: [{ type: 'Accepted' }, { type: 'Ready' }], ready: '1/2' });
  expect(after.metadata.generation).toBe(before.metadata.generation);
  expect(schemaOf('LLMPool').safeParse(after).success).toBe(true);
});

test('an instance scales by its scale subresource', async () => {
  const spec = { model: 'm', deployment: { image: 'tei' } };
  const [instance] = await api.apply({ ...pool('bge'), kind: 'EmbeddingInstance', spec });
  const path = `${collectionOf('EmbeddingInstance')}/bge`;
  await api.call('PATCH', `${path}/scale`, { spec: { replicas: 3 } }, 'application/merge-patch+json');
  expect((await api.read(path))['spec']).toMatchObject({ deployment: { replicas: 3 } });
  expect(instance?.['spec']).toMatchObject({ deployment: { replicas: 1 } });
});

test.each([
  ['pool', ['NAME', 'MODELS', 'ENDPOINTS', 'PROGRAMMED', 'READY', 'AGE']],
  ['emb', ['NAME', 'MODEL', 'ENDPOINTS', 'PROGRAMMED', 'READY', 'AGE']],
])('kubectl get %s shows its columns', (name, columns) => {
  expect(kubectl('get', name).split('\n')[0]?.split(/ +/)).toEqual(columns);
});

test.each(['sluice', 'all'])('kubectl get %s lists both kinds', (category) => {
  const names = kubectl('get', category, '-o', 'name').split('\n');
  expect(names).toEqual(expect.arrayContaining(['llmpool.sluice.dev/shared', 'embeddinginstance.sluice.dev/bge']));
});

function kubectl(...words: string[]): string {
  return execFileSync(asset('kubectl'), ['--kubeconfig', api.kubeconfig, ...words], { encoding: 'utf8' });
}
