import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { KubeObject } from '../../../kube/object.ts';
import { claimNames } from '../../../operator/translate/claim-names.ts';
import type { Resources } from '../../../operator/translate/resources.ts';
import { translate, translateOne } from '../../../operator/translate/translate.ts';
import { canonicalJson } from '../../../proxy/config/encode.ts';
import { readCases } from '../../crds/cases.ts';
import { inputOf, readInput } from './golden-input.ts';
import { randomFrom, shuffled } from './random.ts';

const FOLDER = join(import.meta.dirname, 'cases');
const inputs = readdirSync(FOLDER).map((file) => {
  const [input = ''] = readFileSync(join(FOLDER, file), 'utf8').split('# Output\n');
  return { file, input: readInput(input) };
});

/** The same facts, met in another order. */
function reordered(resources: Resources, random: () => number): Resources {
  const map = <T>(of: ReadonlyMap<string, T>): Map<string, T> => new Map(shuffled([...of], random));
  const lists = <T>(of: ReadonlyMap<string, readonly T[]>): Map<string, readonly T[]> =>
    new Map(shuffled([...of], random).map(([key, items]) => [key, shuffled(items, random)]));
  const { pools, instances, unreadable, services, slices, pods, secrets, published } = resources;
  return {
    ...{ pools: map(pools), instances: map(instances), unreadable: map(unreadable), published: map(published) },
    ...{ services: map(services), slices: lists(slices), pods: lists(pods), secrets: map(secrets) },
  };
}

test.each(inputs)('$file gives the same bytes in whatever order its objects are met', ({ input }) => {
  const { resources, options } = input;
  const bytes = (of: Resources): string => JSON.stringify([...translate(of, options)]);
  const expected = bytes(resources);
  for (let seed = 0; seed < 20; seed += 1) expect(bytes(reordered(resources, randomFrom(seed)))).toBe(expected);
});

test.each(inputs)('$file gives one CR what it gives all', ({ input }) => {
  const { resources, options } = input;
  const claims = claimNames(resources, options);
  for (const [key, translation] of translate(resources, options)) {
    const own = <T>(all: ReadonlyMap<string, T>, at: string): Map<string, T> =>
      new Map([...all].filter(([other]) => other === at));
    const { kind, namespace, name } = translation.owner;
    const path = `${namespace}/${name}`;
    const alone: Resources = {
      ...resources,
      pools: own(resources.pools, kind === 'LLMPool' ? path : ''),
      instances: own(resources.instances, kind === 'LLMPool' ? '' : path),
      unreadable: own(resources.unreadable, key),
    };
    expect(translateOne(translation.owner, alone, claims, options)).toEqual(translation);
  }
});

test.each(inputs)('$file has no credential but in `credentials`', ({ input }) => {
  for (const translation of translate(input.resources, input.options).values()) {
    const { credentials = { values: {} }, ...rest } = translation;
    const said = JSON.stringify(rest);
    const held = Object.values(credentials.values);
    for (const value of held) expect(said).not.toContain(JSON.stringify(value).slice(1, -1));
  }
});

test.each(inputs)('$file has no client key anywhere', ({ input }) => {
  const said = JSON.stringify([...translate(input.resources, input.options)]);
  const values = [...input.resources.secrets.values()].flatMap(({ data }) => Object.values(data));
  for (const value of values) {
    const text = Buffer.from(value, 'base64').toString().trim();
    if (text.startsWith('sk-client-')) expect(said).not.toContain(text);
  }
});

test.each(readCases('valid'))('$file, which the API server takes, is translated or refused by name', ({ object }) => {
  const cr = { ...object, metadata: { namespace: 'default', ...(object['metadata'] as object) } } as KubeObject;
  const { resources, options } = inputOf([cr]);
  const [translation] = translate(resources, options).values();
  const denial = translation?.verdicts.find(({ type, status }) => type === 'Accepted' && status === 'False');
  expect(translation?.document === undefined).toBe(denial !== undefined);
  if (denial) expect(denial).toMatchObject({ reason: 'Invalid', message: expect.stringMatching(/^spec\./) });
});

describe('a pool', () => {
  const withUrl = (url: string): string => {
    const spec = { backends: [{ name: 'a', url }] };
    const { resources, options } = inputOf([{ kind: 'LLMPool', metadata: { name: 'chat', namespace: 'ml' }, spec }]);
    return canonicalJson(translate(resources, options).get('LLMPool/ml/chat')?.document);
  };

  test('[M-8] is the same with and without a slash at the end of a base URL', () => {
    expect(withUrl('https://api.example.com/v1/')).toBe(withUrl('https://api.example.com/v1'));
    expect(withUrl('https://api.example.com/')).toBe(withUrl('https://api.example.com'));
    expect(withUrl('https://api.example.com/v1')).not.toBe(withUrl('https://api.example.com'));
  });
});

test('a CR that is not there is an error of whoever asks', () => {
  const { resources, options } = inputOf([]);
  const owner = { kind: 'LLMPool', namespace: 'ml', name: 'nobody' } as const;
  expect(() => translateOne(owner, resources, new Map(), options)).toThrow('LLMPool/ml/nobody is not among');
});
