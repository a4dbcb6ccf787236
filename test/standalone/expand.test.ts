// biome-ignore-all lint/suspicious/noTemplateCurlyInString: variables in files, not template strings, are what is tested
import { describe, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { expand } from '../../standalone/expand.ts';
import { expandDocument } from '../../standalone/expand-document.ts';

const ENV = { A: 'value', EMPTY: '', NUMBER: '5', BRACES: '${A}', KEY: '0123', LIST: '[1]' };

describe('expand', () => {
  test.each([
    ['text without variables', 'text without variables'],
    ['${A}', 'value'],
    ['${ A }', 'value'],
    ['x-${A}-y', 'x-value-y'],
    ['${A}${NUMBER}', 'value5'],
    ['$A', '$A'],
    ['{A}', '{A}'],
    ['$', '$'],
    ['a $ {A}', 'a $ {A}'],
    ['$${A}', '${A}'],
    ['$$${A}', '$${A}'],
    ['$${A} ${A}', '${A} value'],
    ['$${', '${'],
    ['${A:-d}', 'value'],
    ['${UNSET:-d}', 'd'],
    ['${EMPTY:-d}', 'd'],
    ['${EMPTY}', ''],
    ['${UNSET:-}', ''],
    ['${UNSET:-http://h:80/v1:-x}', 'http://h:80/v1:-x'],
    ['${UNSET:-${A}}', 'value'],
    ['${UNSET:-x${UNSET:-y${A}}z}', 'xyvaluez'],
    ['${UNSET:-{"a": {}}}', '{"a": {}}'],
    ['${UNSET:-$${A}}', '${A}'],
    ['${UNSET:-a\nb}', 'a\nb'],
    ['${A:-${UNSET}}', 'value'],
    ['${A:-${not a name}}', 'value'],
    ['${BRACES}', '${A}'],
  ])('[P-10] %j is %j', (text, expected) => {
    expect(expand(text, ENV)).toBe(expected);
  });

  test.each([
    ['${UNSET}', 'the variable UNSET is not set, and there is no default'],
    ['${EMPTY:-${UNSET}}', 'the variable UNSET is not set'],
    ['${A', 'has no "}" that closes it'],
    ['${UNSET:-{}', 'has no "}" that closes it'],
    ['${}', 'neither VAR nor VAR:-default'],
    ['${A-B}', 'neither VAR nor VAR:-default'],
    ['${1A}', 'neither VAR nor VAR:-default'],
  ])('%j is an error that says what to do', (text, message) => {
    expect(() => expand(text, ENV)).toThrow(message);
  });

  test('what a variable holds is never in an error', () => {
    expect(() => expand('${A:-x} ${UNSET}', { A: 's3cret' })).toThrow(/^(?!.*s3cret)/);
  });
});

function expanded(yaml: string) {
  const [document] = parseAllDocuments(yaml) as ReturnType<typeof parseAllDocuments> & unknown[];
  if (document === undefined || !('contents' in document)) throw new Error('no document');
  expect(document.errors).toEqual([]);
  return expandDocument(document, ENV);
}

describe('expandDocument', () => {
  test.each([
    ['v: ${NUMBER}', 5],
    ['v: ${UNSET:-1.5}', 1.5],
    ['v: ${UNSET:-true}', true],
    ['v: ${UNSET:-}', null],
    ['v: ${UNSET:-null}', null],
    ['v: ${A}', 'value'],
    ['v: ${NUMBER}s', '5s'],
    ['v: ${LIST}', '[1]'],
    ['v: "${NUMBER}"', '5'],
    ["v: '${NUMBER}'", '5'],
    ['v: !!str ${NUMBER}', '5'],
    ['v: |-\n  ${NUMBER}', '5'],
    ['v: $${NUMBER}', '${NUMBER}'],
    ['v: 0123', 123],
    ['v: ${KEY}', 123],
  ])('an unquoted value is typed again, a quoted one stays text: %j', (yaml, value) => {
    expect(expanded(yaml).value).toEqual({ v: value });
  });

  test('values in lists, maps and behind aliases are expanded, keys are not', () => {
    const { value, faults } = expanded('list: [{a: "${A}"}, &x "${NUMBER}"]\nalias: *x\n"${A}": 1\n');
    expect(value).toEqual({ list: [{ a: 'value' }, '5'], alias: '5', '${A}': 1 });
    expect(faults).toEqual([]);
  });

  test('values of a Secret stay text, as a key of digits must', () => {
    const { value } = expanded('kind: Secret\nstringData:\n  key: ${KEY}\n');
    expect(value).toEqual({ kind: 'Secret', stringData: { key: '0123' } });
  });

  test('an error names the field; other values are expanded all the same', () => {
    const { faults } = expanded('spec:\n  backends:\n  - url: ${UNSET}\n    name: ${A}\n  - url: ${A\n');
    expect(faults).toEqual([
      'spec.backends[0].url: the variable UNSET is not set, and there is no default',
      expect.stringMatching(/^spec\.backends\[1\]\.url: a "\$\{" has no/),
    ]);
  });

  test.each([
    ['a: b', false],
    ['a: $B', false],
    ['a: b # ${A}', false],
    ['a: ${A}', true],
    ['a: $${A}', true],
  ])('a cluster would read %j otherwise: %j', (yaml, hasVariables) => {
    expect(expanded(yaml).hasVariables).toBe(hasVariables);
  });
});
