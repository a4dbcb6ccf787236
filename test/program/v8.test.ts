import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';

const run = promisify(execFile);
const V8 = new URL('../../program/v8.ts', import.meta.url).href;

/** Prints the size of the new space in MB: before work, after it, after V8 has shrunk it as when idle, after work again. */
const PROGRAM = `
  import { getHeapSpaceStatistics } from 'node:v8';
  import { runTuned } from '${V8}';
  const size = () => getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space').space_size / 2 ** 20;
  const work = async () => {
    const kept = [];
    for (const end = performance.now() + 1500; performance.now() < end; ) {
      for (let n = 0; n < 5000; n += 1) kept[n] = { n, list: [n], text: 'x' + n };
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  await runTuned(async () => undefined);
  const sizes = [size()];
  await work();
  sizes.push(size());
  gc({ type: 'major', execution: 'sync', flavor: 'last-resort' });
  sizes.push(size());
  await work();
  sizes.push(size());
  process.stdout.write(JSON.stringify(sizes));
  process.exit(0);
`;

describe('a tuned program', () => {
  test('has a new space that grows with its work, also after V8 has shrunk it', async () => {
    const args = ['--expose-gc', '--input-type=module', '--eval', PROGRAM];
    const [before, worked, shrunk, again] = JSON.parse((await run(process.execPath, args)).stdout) as number[];
    expect(before).toBeLessThanOrEqual(2);
    expect(worked).toBeGreaterThanOrEqual(8);
    expect(shrunk).toBeLessThanOrEqual(2);
    expect(again).toBeGreaterThanOrEqual(8);
  });
});
