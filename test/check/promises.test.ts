import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { judge } from './promises.ts';

const document = readFileSync('docs/compatibility.md', 'utf8').replace(/\| kept \|$/gm, '| open |');
const withState = (id: string, state: string) =>
  document.replace(new RegExp(`^(\\| ${id} \\|.*\\|) [^|]+ \\|$`, 'm'), `$1 ${state} |`);
/** A test file, put together so that its ids do not count for this file itself. */
const source = (...ids: string[]) =>
  ids.map((id) => `test.each([[1]])(\n  '${`[${id}`}] does it', () => {});`).join('\n');

test('every promise has a row with a state', () => {
  expect(judge(document, []).faults).toEqual([]);
});

test('a promise is open until a test names it and the row says kept', () => {
  expect(judge(document, []).open).toContain('M-5');
  const { kept, open, faults } = judge(withState('M-5', 'kept'), [source('M-5')]);
  expect({ kept, faults }).toEqual({ kept: ['M-5'], faults: [] });
  expect(open).not.toContain('M-5');
});

test('kept without a test is a fault', () => {
  expect(judge(withState('M-5', 'kept'), [source('M-4')]).faults).toEqual(['M-5 is "kept", but no test names it']);
});

test('an id in a comment keeps nothing', () => {
  expect(judge(withState('M-5', 'kept'), [`// ${`[M-5`}] is done\ntest('x', f)`]).faults).toHaveLength(1);
});

test('a test that names an unknown id is a fault', () => {
  expect(judge(document, [source('M-99')]).faults).toEqual(['a test names M-99, which is no promise']);
});

test('a row that is missing, twice there, or without a known state is a fault', () => {
  expect(judge(document.replace(/^\| M-5 \|.*$/m, ''), []).faults).toEqual(['M-5 has no row']);
  expect(judge(document.replace(/^\| M-5 \|.*$/m, '$&\n$&'), []).faults).toEqual(['M-5 has two rows']);
  expect(judge(withState('M-5', 'nearly'), []).faults).toEqual(['M-5: "nearly" is no state']);
});
