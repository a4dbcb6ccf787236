import { expect, test } from 'vitest';
import type { Translation, Verdict } from '../../operator/translate/translation.ts';
import { check } from '../../standalone/check.ts';
import { gather } from '../../standalone/gather.ts';
import { shelve } from '../../standalone/shelf.ts';

const GOOD: Verdict[] = [
  { type: 'Accepted', status: 'True', reason: 'Accepted', message: '' },
  { type: 'NamesClaimed', status: 'True', reason: 'NamesClaimed', message: 'serves a' },
];

function translation(name: string, verdicts: Verdict[]): [string, Translation] {
  const owner = { kind: 'LLMPool', namespace: 'ml', name } as const;
  const counts = { endpointCount: 1, readyEndpointCount: 1 };
  return [`LLMPool/ml/${name}`, { owner, generation: 0, verdicts, models: [name], ...counts }];
}

function shelfOf(files: Record<string, string>) {
  const texts = Object.entries(files).map(([path, text]) => [path, { text }] as const);
  return shelve(new Map(), { files: new Map(texts), unreadable: new Map() }, {});
}

function run(translations: [string, Translation][], files: Record<string, string> = {}, unreadable = {}) {
  const shelf = shelfOf(files);
  const { faults } = gather(shelf);
  const folders = new Map<string, string>(Object.entries(unreadable));
  return check({ translations: new Map(translations), faults, shelf, unreadable: folders });
}

test('the conditions of each resource stand in columns, sorted by resource', () => {
  const missing = 'backend x: Secret ml/s is not there\nbackend y: Secret ml/t is not there';
  const { text, isRefused } = run([
    translation('b', GOOD),
    translation('a', [...GOOD, { type: 'ResolvedRefs', status: 'False', reason: 'SecretNotFound', message: missing }]),
  ]);
  expect(text).toBe(
    [
      'LLMPool/ml/a',
      '  Accepted      True   Accepted',
      '  NamesClaimed  True   NamesClaimed    serves a',
      '  ResolvedRefs  False  SecretNotFound  backend x: Secret ml/s is not there',
      '                                       backend y: Secret ml/t is not there',
      '',
      'LLMPool/ml/b',
      '  Accepted      True  Accepted',
      '  NamesClaimed  True  NamesClaimed  serves a',
    ].join('\n'),
  );
  expect(isRefused).toBe(false);
});

test('a resource that is not accepted is refused', () => {
  const denied: Verdict = {
    type: 'Accepted',
    status: 'False',
    reason: 'Invalid',
    message: 'spec.deployment: not supported yet',
  };
  expect(run([translation('a', [denied])]).isRefused).toBe(true);
});

test('what a file holds that cannot be used is refused with file and field', () => {
  const bad = 'apiVersion: sluice.dev/v1alpha1\nkind: LLMPool\nmetadata: {name: a}\nspec: {backends: []}\n';
  const { text, isRefused } = run([], { 'conf/a.yaml': bad, 'conf/b.yaml': 'a: [' });
  expect(text).toMatch(/^Not taken as they stand:\n {2}conf\/a\.yaml: LLMPool\/default\/a: spec\.backends: /);
  expect(text).toMatch(/\n {2}conf\/b\.yaml: cannot be parsed: line 1: /);
  expect(isRefused).toBe(true);
});

test('a folder that cannot be read is refused', () => {
  expect(run([], {}, { conf: 'EACCES' })).toEqual({
    text: 'Not taken as they stand:\n  conf: cannot be read (EACCES)',
    isRefused: true,
  });
});

test('files that only standalone can read, and what only a cluster has, are named and refuse nothing', () => {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: a variable in a file
  const service = 'kind: Service\nmetadata: {name: s, namespace: ml}\nspec: {x: "${Y:-}"}\n';
  expect(run([], { 'conf/a.yaml': service })).toEqual({
    text: [
      'Only standalone can read these files; a cluster knows no variables:',
      '  conf/a.yaml',
      '',
      'Left to a cluster:',
      '  conf/a.yaml: Service/ml/s',
    ].join('\n'),
    isRefused: false,
  });
});

test('nothing at all is said too', () => {
  expect(run([])).toEqual({ text: 'no resources', isRefused: false });
});
