// biome-ignore-all lint/suspicious/noTemplateCurlyInString: variables in files, not template strings, are what is tested
import { describe, expect, test } from 'vitest';
import { gather } from '../../standalone/gather.ts';
import type { FileText, Look } from '../../standalone/look.ts';
import { type Shelf, shelve } from '../../standalone/shelf.ts';
import { readYaml } from '../../standalone/yaml-file.ts';

const ENV = { URL: 'http://127.0.0.1:9/v1', WEIGHT: '3' };

function pool(name: string, url = 'http://127.0.0.1:9/v1'): string {
  return `apiVersion: sluice.dev/v1alpha1
kind: LLMPool
metadata: {name: ${name}, namespace: ml}
spec:
  backends:
  - {name: a, url: "${url}"}
`;
}

function look(files: Record<string, string | FileText>, unreadable: Record<string, string> = {}): Look {
  const texts = Object.entries(files).map(
    ([path, file]) => [`conf/${path}`, typeof file === 'string' ? { text: file } : file] as const,
  );
  return { files: new Map(texts), unreadable: new Map(Object.entries(unreadable)) };
}

/** The shelf after the looks, one after the other. */
function shelfAfter(...looks: Look[]): Shelf {
  return looks.reduce<Shelf>((shelf, next) => shelve(shelf, next, ENV), new Map());
}

function served(shelf: Shelf): Record<string, string | undefined> {
  return Object.fromEntries([...gather(shelf).pools].map(([key, value]) => [key, value.spec.backends[0]?.url]));
}

function faults(shelf: Shelf): string[] {
  return gather(shelf).faults.map(({ file, key, message }) => [file, key, message].filter(Boolean).join(': '));
}

describe('a file', () => {
  test('holds any number of documents, of which CRs and Secrets count', () => {
    const service = 'apiVersion: v1\nkind: Service\nmetadata: {name: vllm, namespace: ml}\n';
    const secret = 'apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: ml}\nstringData: {k: v}\n';
    const content = readYaml(['', pool('a'), service, '# nothing', secret, ''].join('\n---\n'), ENV);
    expect(content.declared.map(({ key, faults }) => [key, faults])).toEqual([
      ['LLMPool/ml/a', []],
      ['Secret/ml/s', []],
    ]);
    expect(content.skipped).toEqual(['Service/ml/vllm']);
    expect(content.problems).toEqual([]);
  });

  test('a List of objects is its objects', () => {
    const list = `apiVersion: v1\nkind: List\nitems:\n- ${pool('a').trim().replaceAll('\n', '\n  ')}\n`;
    expect(readYaml(list, ENV).declared.map(({ key }) => key)).toEqual(['LLMPool/ml/a']);
  });

  test('an object without a namespace is in default', () => {
    const text = pool('a').replace(', namespace: ml', '');
    expect(readYaml(text, ENV).declared[0]?.item).toMatchObject({ value: { metadata: { namespace: 'default' } } });
  });

  test('variables are expanded and typed before the schema is asked', () => {
    const text = pool('a').replace(
      '{name: a, url: "http://127.0.0.1:9/v1"}',
      'name: a\n    url: ${URL}\n    weight: ${WEIGHT}',
    );
    const content = readYaml(text, ENV);
    expect(content.declared[0]?.item).toMatchObject({ value: { spec: { backends: [{ url: ENV.URL, weight: 3 }] } } });
    expect(content.hasVariables).toBe(true);
  });

  test.each([
    ['is empty', '', 'is empty'],
    ['is blank', ' \n\n', 'is empty'],
    ['is no YAML', 'a: [1\nb: 2\n', 'cannot be parsed: line 2: '],
    ['has a key twice', 'a: 1\na: 2\n', 'cannot be parsed: line 2: Map keys must be unique'],
    ['has a variable in a flow map without quotes', 'a: {b: ${URL}}\n', 'must stand in quotes'],
    ['names an alias that is not there', 'a: *b\n', 'cannot be parsed'],
    ['is a text', 'hello', 'not an object with kind and metadata.name'],
    ['has no kind', 'metadata: {name: a}', 'not an object with kind and metadata.name'],
    ['has a name that is a number', 'kind: LLMPool\nmetadata: {name: 1}', 'not an object with kind and metadata.name'],
  ])('that %s is a problem of the file, said in words', (_, text, problem) => {
    expect(readYaml(text, ENV).problems).toEqual([expect.stringContaining(problem)]);
  });

  test.each([
    ['an unknown field', pool('a').replace('spec:', 'spec:\n  modles: [x]'), 'spec.modles: unknown field'],
    ['a wrong type', pool('a').replace('name: a, url', 'name: a, weight: much, url'), 'spec.backends[0].weight: '],
    ['another version', pool('a').replace('v1alpha1', 'v9'), 'apiVersion: '],
    ['a variable that is not set', pool('a', '${NOPE}'), 'spec.backends[0].url: the variable NOPE is not set'],
  ])('an object with %s is refused by its field', (_, text, message) => {
    const [declared] = readYaml(text, ENV).declared;
    expect(declared?.item).toBeUndefined();
    expect(declared?.faults.join()).toContain(message);
  });

  test('kinds are looked up among the known ones only', () => {
    const text = 'kind: constructor\nmetadata: {name: a}';
    expect(readYaml(text, ENV)).toMatchObject({ skipped: ['constructor/default/a'], problems: [] });
  });
});

describe('a Secret', () => {
  const secret = (fields: string) => `apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: ml}\n${fields}\n`;
  const read = (fields: string) => readYaml(secret(fields), { KEY: '0123' }).declared[0];

  test('stringData wins over data, and needs no label', () => {
    expect(read('data: {a: YQ==, b: Yg==}\nstringData: {b: "x"}')?.item).toEqual({
      kind: 'Secret',
      value: { namespace: 'ml', name: 's', data: { a: 'YQ==', b: 'eA==' } },
    });
  });

  test('a key of digits from a variable keeps its digits', () => {
    const value = { data: { k: Buffer.from('0123').toString('base64') } };
    expect(read('stringData:\n  k: ${KEY}')?.item).toMatchObject({ value });
  });

  test('what is not base64 is refused by its field, without its value', () => {
    const { faults } = read('data: {key: "s3cret!"}') ?? {};
    expect(faults).toEqual(['data.key: must be base64']);
  });
});

describe('over time', () => {
  const good = look({ 'a.yaml': pool('a'), 'b.yaml': pool('b') });

  test.each<[string, FileText, string]>([
    ['is empty for a moment', { text: '' }, 'conf/a.yaml: is empty'],
    ['cannot be parsed', { text: 'a: [' }, 'conf/a.yaml: cannot be parsed'],
    ['cannot be read', { problem: 'cannot be read (EACCES)' }, 'conf/a.yaml: cannot be read (EACCES)'],
    ['loses its kind', { text: pool('a').replace('kind: LLMPool', '') }, 'conf/a.yaml: a document is not'],
  ])('a file that %s keeps its last good CRs, and the others follow', (_, file, fault) => {
    const shelf = shelfAfter(good, look({ 'a.yaml': file, 'b.yaml': pool('b', 'http://127.0.0.1:8/v1') }));
    expect(served(shelf)).toEqual({ 'ml/a': 'http://127.0.0.1:9/v1', 'ml/b': 'http://127.0.0.1:8/v1' });
    expect(faults(shelf)).toEqual([expect.stringContaining(fault)]);
  });

  test('a CR that is refused keeps what it was, and the others of its file follow', () => {
    const both = (a: string, b: string) => look({ 'a.yaml': `${pool('a', a)}---\n${pool('b', b)}` });
    const shelf = shelfAfter(both('http://x:1', 'http://x:1'), both('ftp://x:2', 'http://x:2'));
    expect(served(shelf)).toEqual({ 'ml/a': 'http://x:1', 'ml/b': 'http://x:2' });
    expect(faults(shelf)).toEqual([expect.stringContaining('conf/a.yaml: LLMPool/ml/a: spec.backends[0].url: ')]);
  });

  test('a file that was broken from the start serves nothing, and is not in the way', () => {
    expect(served(shelfAfter(look({ 'a.yaml': 'a: [', 'b.yaml': pool('b') })))).toEqual({
      'ml/b': 'http://127.0.0.1:9/v1',
    });
  });

  test('a file that is good again is as if it had never been broken', () => {
    const shelf = shelfAfter(good, look({ 'a.yaml': '', 'b.yaml': pool('b') }), good);
    expect([served(shelf), faults(shelf)]).toEqual([served(shelfAfter(good)), []]);
  });

  test('a file that is gone takes its CRs along; so does a document taken out', () => {
    expect(served(shelfAfter(good, look({ 'b.yaml': pool('b') })))).toEqual({ 'ml/b': 'http://127.0.0.1:9/v1' });
    const two = look({ 'a.yaml': `${pool('a')}---\n${pool('b')}` });
    expect(Object.keys(served(shelfAfter(two, look({ 'a.yaml': pool('b') }))))).toEqual(['ml/b']);
  });

  test('files of a folder that cannot be read are not gone', () => {
    const shelf = shelfAfter(good, look({}, { './conf/': 'EACCES' }));
    expect(Object.keys(served(shelf))).toEqual(['ml/a', 'ml/b']);
  });

  test('a file with the same text keeps its very state, so does one with the same problem', () => {
    const first = shelfAfter(good);
    expect(shelve(first, good, ENV).get('conf/a.yaml')).toBe(first.get('conf/a.yaml'));
    const broken = look({ 'a.yaml': { problem: 'cannot be read (EACCES)' } });
    const second = shelfAfter(good, broken);
    expect(shelve(second, broken, ENV).get('conf/a.yaml')).toBe(second.get('conf/a.yaml'));
  });

  test('of a CR in two files the first file counts, and the other is named', () => {
    const shelf = shelfAfter(look({ 'b.yaml': pool('a', 'http://x:2'), 'a.yaml': pool('a', 'http://x:1') }));
    expect(served(shelf)).toEqual({ 'ml/a': 'http://x:1' });
    expect(faults(shelf)).toEqual(['conf/b.yaml: LLMPool/ml/a: is declared in conf/a.yaml too; that one counts']);
  });

  test('of a CR twice in one file the first counts', () => {
    const shelf = shelfAfter(look({ 'a.yaml': `${pool('a', 'http://x:1')}---\n${pool('a', 'http://x:2')}` }));
    expect(served(shelf)).toEqual({ 'ml/a': 'http://x:1' });
    expect(faults(shelf)).toEqual(['conf/a.yaml: LLMPool/ml/a: is declared twice in this file; the first counts']);
  });
});
