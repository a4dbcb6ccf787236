import { spawnSync } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { temporaryFolder } from '../support/reaper.ts';

const folder = temporaryFolder('sluice-run');
symlinkSync(join(process.cwd(), 'node_modules'), join(folder, 'node_modules'));
const reporter = join(process.cwd(), 'test/support/closing-line.ts');
const head = `import { expect, test } from 'vitest';\n`;

/** Runs vitest on one file of that text, as \`make test\` does. */
function run(name: string, text: string): { status: number | null; lastLine: string | undefined } {
  const root = join(folder, name);
  mkdirSync(root);
  writeFileSync(join(root, 'a.test.ts'), text);
  const vitest = join(process.cwd(), 'node_modules/vitest/vitest.mjs');
  const args = [vitest, 'run', '--root', root, '--reporter=default', `--reporter=${reporter}`];
  const { status, stdout } = spawnSync(process.execPath, args, { encoding: 'utf8', cwd: folder });
  return { status, lastLine: stdout.trimEnd().split('\n').at(-1) };
}

test.each([
  ['passing', `${head}test('a', () => {}); test('b', () => {});`, 0, '2 passed, 0 failed'],
  ['failing', `${head}test('a', () => {}); test('b', () => expect(1).toBe(2));`, 1, '1 passed, 1 failed'],
  ['skipping', `${head}test('a', () => {}); test.skip('b', () => {});`, 1, '1 passed, 0 failed'],
  ['not-loading', `throw new Error('x');`, 1, '0 passed, 1 failed'],
  ['empty', head, 1, '0 passed, 1 failed'],
  ['leaking', `${head}test('a', () => { Promise.reject(new Error('late')); });`, 1, '1 passed, 1 failed'],
])('a run that is %s ends with its counts and the right exit code', (name, text, status, lastLine) => {
  expect(run(name, text)).toEqual({ status, lastLine });
});
