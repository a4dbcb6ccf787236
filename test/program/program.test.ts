import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { on } from 'node:events';
import { closeSync, constants, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { afterEach, expect, test } from 'vitest';
import { temporaryFolder, tie } from '../support/reaper.ts';

const SCRIPT = new URL('program.ts', import.meta.url).pathname;
const folder = temporaryFolder('sluice-program');
const run = promisify(execFile);
const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

function start(command: string, args: string[], stderr: number | 'pipe' = 'pipe'): ChildProcess {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', stderr] });
  children.push(child);
  tie(child);
  return child;
}

const exitCode = (child: ChildProcess) => new Promise<number | null>((resolve) => child.once('exit', resolve));

interface Said {
  readonly dropped: number;
  readonly draining: boolean;
}

/** What the program says of itself, once that is what is waited for. */
async function untilSays(child: ChildProcess, enough: (said: Said) => boolean): Promise<Said> {
  if (child.stdout === null) throw new Error('no standard output');
  const lines = createInterface(child.stdout);
  try {
    for await (const [line] of on(lines, 'line', { close: ['close'] })) {
      const said = JSON.parse(line) as Said;
      if (enough(said)) return said;
    }
  } finally {
    lines.close();
  }
  throw new Error('the program ended');
}

test('a bad flag is one line on stderr and exit 2', async () => {
  await expect(run(process.execPath, [SCRIPT, '--lines=many'])).rejects.toMatchObject({
    code: 2,
    stdout: '',
    stderr: 'small: --lines: "many" is not a whole number, 0 or more\n',
  });
});

test('--help and --version print to stdout and exit 0', async () => {
  expect((await run(process.execPath, [SCRIPT, '--help'])).stdout).toContain('--lines N');
  expect((await run(process.execPath, [SCRIPT, '--version'])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
});

test('a reader that never reads a socket neither stops the program nor its end, and drops are counted', async () => {
  const child = start(process.execPath, [SCRIPT, '--lines=20000']);
  child.stderr?.pause();
  const { dropped } = await untilSays(child, (said) => said.dropped > 0);
  expect(dropped).toBeGreaterThan(10_000);
  child.kill('SIGTERM');
  expect(await exitCode(child)).toBe(0);
});

test('a reader that never reads a pipe neither stops the program nor its end, and drops are counted', async () => {
  const fifo = join(folder, 'fifo');
  execFileSync('mkfifo', [fifo]);
  const reader = openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK);
  const writer = openSync(fifo, constants.O_WRONLY);
  const child = start(process.execPath, [SCRIPT, '--lines=20000'], writer);
  const { dropped } = await untilSays(child, (said) => said.dropped > 0);
  expect(dropped).toBeGreaterThan(10_000);
  child.kill('SIGTERM');
  expect(await exitCode(child)).toBe(0);
  closeSync(writer);
  closeSync(reader);
});

test('a reader that left does not end the program', async () => {
  const child = start(process.execPath, [SCRIPT, '--lines=10']);
  child.stderr?.destroy();
  child.kill('SIGCONT');
  await untilSays(child, () => true);
  child.kill('SIGTERM');
  expect(await exitCode(child)).toBe(0);
});

test('what was logged before the end is all there', async () => {
  const file = join(folder, 'log');
  const child = start(process.execPath, [SCRIPT, '--lines=100'], openSync(file, 'w'));
  await untilSays(child, () => true);
  child.kill('SIGTERM');
  expect(await exitCode(child)).toBe(0);
  expect(readFileSync(file, 'utf8').trim().split('\n')).toHaveLength(100);
});

test('a second signal ends it at once, whatever the drain does', async () => {
  const child = start(process.execPath, [SCRIPT, '--stuck']);
  await untilSays(child, () => true);
  child.kill('SIGTERM');
  await untilSays(child, (said) => said.draining);
  child.kill('SIGINT');
  expect(await exitCode(child)).toBe(130);
});
