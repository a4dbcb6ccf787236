import { describe, expect, test } from 'vitest';
import type { KubeObject } from '../../../kube/object.ts';
import { claimNames } from '../../../operator/translate/claim-names.ts';
import { ownerKey } from '../../../proxy/config/schema.ts';
import { inputOf } from './golden-input.ts';

const AGES = ['2026-01-01T00:00:00Z', '2026-01-01T00:00:01Z', '2026-01-02T00:00:00Z'];

/** `at` is `namespace/name`; `age` 0 is the oldest. */
function pool(at: string, age: number, models: readonly string[] | undefined, refused = false): KubeObject {
  const [namespace = '', name = ''] = at.split('/');
  // The second is 169.254.169.254, hidden.
  const spec = { models, backends: [{ name: 'a', url: refused ? 'http://2852039166' : 'https://a.example.com' }] };
  return { kind: 'LLMPool', metadata: { ...{ namespace, name }, ...created(age) }, spec };
}

function instance(at: string, age: number, instanceName?: string): KubeObject {
  const [namespace = '', name = ''] = at.split('/');
  const spec = { instanceName, protocol: 'HTTP', model: 'shared/model', url: 'https://a.example.com' };
  return { kind: 'EmbeddingInstance', metadata: { ...{ namespace, name }, ...created(age) }, spec };
}

function created(age: number): { creationTimestamp?: string } {
  const creationTimestamp = AGES[age];
  return creationTimestamp === undefined ? {} : { creationTimestamp };
}

/** Names each CR has, and the winner of each one it lost. */
function claimed(objects: readonly KubeObject[], given: Parameters<typeof inputOf>[1] = {}) {
  const { resources, options } = inputOf(objects, given);
  const claims = [...claimNames(resources, options)].sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(
    claims.map(([key, { names, lost }]) => [
      key.slice(key.indexOf('/') + 1),
      [...names, ...lost.map(({ name, winner }) => `${name}: ${ownerKey(winner)}`)].join(', '),
    ]),
  );
}

describe('a contested name', () => {
  test('is the older one’s, whatever the order they are read in', () => {
    const objects = [pool('a/young', 2, ['x']), pool('z/old', 0, ['x']), pool('m/middle', 1, ['x'])];
    const expected = { 'a/young': 'x: LLMPool/z/old', 'm/middle': 'x: LLMPool/z/old', 'z/old': 'x' };
    expect(claimed(objects)).toEqual(expected);
    expect(claimed(objects.toReversed())).toEqual(expected);
  });

  test('is the first one’s by namespace/name where both are of one second', () => {
    expect(claimed([pool('b/a', 0, ['x']), pool('a/b', 0, ['x'])])).toEqual({ 'a/b': 'x', 'b/a': 'x: LLMPool/a/b' });
  });

  test('is the first one’s by namespace/name in standalone, whatever their ages', () => {
    const claims = claimed([pool('b/a', 0, ['x']), pool('a/b', 2, ['x'])], { standalone: true });
    expect(claims).toEqual({ 'a/b': 'x', 'b/a': 'x: LLMPool/a/b' });
  });

  test('is never won by one whose age is not known', () => {
    expect(claimed([pool('a/a', 9, ['x']), pool('b/b', 2, ['x'])])).toEqual({ 'a/a': 'x: LLMPool/b/b', 'b/b': 'x' });
  });

  test('may be a pool’s model and an instance’s name', () => {
    const claims = claimed([pool('a/p', 1, ['x']), instance('a/i', 0, 'x')]);
    expect(claims).toEqual({ 'a/i': 'x', 'a/p': 'x: EmbeddingInstance/a/i' });
  });

  test('may be the name of a CR that asks for none', () => {
    const claims = claimed([pool('a/chat', 1, undefined), instance('b/chat', 2), pool('c/c', 0, ['chat'])]);
    expect(claims).toEqual({ 'a/chat': 'chat: LLMPool/c/c', 'b/chat': 'chat: LLMPool/c/c', 'c/c': 'chat' });
  });

  test('leaves its loser the names that nobody contests', () => {
    const claims = claimed([pool('a/a', 1, ['x', 'y', '*']), pool('b/b', 0, ['*', 'x'])]);
    expect(claims).toEqual({ 'a/a': 'y, x: LLMPool/b/b, *: LLMPool/b/b', 'b/b': '*, x' });
  });

  test('is no model id: instances share those', () => {
    const claims = claimed([instance('a/a', 1), instance('b/b', 0), pool('c/c', 2, ['shared/model'])]);
    expect(claims).toEqual({ 'a/a': 'a', 'b/b': 'b', 'c/c': 'shared/model' });
  });
});

describe('a refused CR', () => {
  test('has the names of its last document and none that it asks for now', () => {
    const objects = [pool('a/a', 2, ['x'], true), pool('b/b', 0, ['x', 'kept'])];
    const published = { 'LLMPool/a/a': ['kept'] };
    expect(claimed(objects, { published })).toEqual({ 'a/a': 'kept', 'b/b': 'x, kept: LLMPool/a/a' });
  });

  test('has none where it was never served', () => {
    expect(claimed([pool('a/a', 0, ['x'], true), pool('b/b', 2, ['x'])])).toEqual({ 'a/a': '', 'b/b': 'x' });
  });

  test('keeps them where its namespace may have none by now, as its document does', () => {
    const given = { published: { 'LLMPool/a/a': ['kept'] }, globalNamesFrom: ['b'] };
    expect(claimed([pool('a/a', 0, ['x'], true)], given)).toEqual({ 'a/a': 'kept' });
  });
});

describe('what is published of a CR that is gone', () => {
  test('holds no name', () => {
    expect(claimed([pool('b/b', 2, ['x'])], { published: { 'LLMPool/a/a': ['x'] } })).toEqual({ 'b/b': 'x' });
  });
});

describe('--global-names-from', () => {
  test('leaves CRs of other namespaces without flat names, and these to the others', () => {
    const claims = claimed([pool('a/a', 0, ['x', '*']), pool('b/b', 2, ['x'])], { globalNamesFrom: ['b'] });
    expect(claims).toEqual({ 'a/a': '', 'b/b': 'x' });
  });
});

describe('a name spelt as a path', () => {
  test('is that of the CR at that path, the youngest even', () => {
    const claims = claimed([pool('a/a', 0, ['b/b', 'c/c', 'a/a']), pool('b/b', 2, ['x'])]);
    expect(claims).toEqual({ 'a/a': 'c/c, a/a, b/b: LLMPool/b/b', 'b/b': 'x' });
  });
});
