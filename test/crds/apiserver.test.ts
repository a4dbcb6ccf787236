import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { explain } from '../../crds/explain.ts';
import type { KubeObject } from '../../kube/object.ts';
import { type ApiServer, startApiServer } from '../support/apiserver.ts';
import { type Case, collectionOf, readCases, schemaOf } from './cases.ts';

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
