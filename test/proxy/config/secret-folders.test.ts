import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import type { SecretData } from '../../../proxy/config/pair.ts';
import { createSecretFolders, type SecretFolders } from '../../../proxy/config/secret-folders.ts';
import { temporaryFolder } from '../../support/reaper.ts';

let dir: string;
let put: (SecretData | undefined)[];
let wanted: Set<string>;
beforeEach(() => {
  dir = temporaryFolder('sluice-secrets');
  put = [];
  wanted = new Set(['ml/clients']);
});

const open = (goneAfterMs: number): SecretFolders =>
  createSecretFolders(
    dir,
    { wants: () => ({ credentials: false, secrets: wanted }), putSecret: (_, data) => put.push(data) },
    goneAfterMs,
  );

function write(key: string, text: string): void {
  mkdirSync(join(dir, 'secrets/clients'), { recursive: true });
  writeFileSync(join(dir, 'secrets/clients', key), text);
}

/** A key as a file that is replaced in two steps may be met. */
const STEPS: [string, () => void][] = [
  ['away', () => rmSync(join(dir, 'secrets/clients/ann'))],
  ['empty', () => write('ann', '')],
  ['away with its folder', () => rmSync(join(dir, 'secrets/clients'), { recursive: true })],
];

describe('a Secret in a folder', () => {
  test.each(STEPS)('keeps a value that is %s at one look and back at the next', async (_, step) => {
    const folders = open(60_000);
    write('ann', 'a');
    await folders.look();
    step();
    await folders.look();
    expect(folders.misses()).toBe(true);
    expect(put).toEqual([{ ann: 'a' }]);
    write('ann', 'b');
    await folders.look();
    expect(folders.misses()).toBe(false);
    expect(put).toEqual([{ ann: 'a' }, { ann: 'b' }]);
  });

  test('is without a value once looks agree that it is gone', async () => {
    const folders = open(0);
    write('ann', 'a');
    write('bob', 'b');
    await folders.look();
    rmSync(join(dir, 'secrets/clients/bob'));
    await folders.look();
    rmSync(join(dir, 'secrets'), { recursive: true });
    await folders.look();
    expect(put).toEqual([{ ann: 'a', bob: 'b' }, { ann: 'a' }, undefined]);
    expect(folders.misses()).toBe(false);
  });

  test('that was never there is told at once, as are new keys and values', async () => {
    const folders = open(60_000);
    await folders.look();
    write('ann', 'a');
    await folders.look();
    write('ann', 'b');
    write('bob', 'b');
    await folders.look();
    expect(put).toEqual([undefined, { ann: 'a' }, { ann: 'b', bob: 'b' }]);
    expect(folders.misses()).toBe(false);
  });

  test('that nobody wants any more is not missed', async () => {
    const folders = open(60_000);
    write('ann', 'a');
    await folders.look();
    rmSync(join(dir, 'secrets'), { recursive: true });
    await folders.look();
    expect(folders.misses()).toBe(true);
    wanted.clear();
    await folders.look();
    expect(folders.misses()).toBe(false);
  });
});
