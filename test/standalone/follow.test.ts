import { chmod, mkdir, mkdtemp, rename, rm, symlink, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { followFolders } from '../../standalone/follow.ts';
import { gather } from '../../standalone/gather.ts';
import type { Shelf } from '../../standalone/shelf.ts';
import { eventually } from '../support/eventually.ts';

const WITHIN = { timeoutMs: 1_000 };
const POOL = (url: string) => `apiVersion: sluice.dev/v1alpha1
kind: LLMPool
metadata: {name: a, namespace: ml}
spec: {backends: [{name: a, url: "${url}"}]}
`;

let dir: string;
const seen: (string | undefined)[] = [];
let stop = async (): Promise<void> => undefined;

function urlIn(shelf: Shelf): string | undefined {
  return gather(shelf).pools.get('ml/a')?.spec.backends[0]?.url;
}

async function follow(folder = dir): Promise<void> {
  const feed = await followFolders({ dirs: [folder], env: {}, changed: (shelf) => seen.push(urlIn(shelf)) });
  stop = feed.stop;
}

const becomes = (url: string | undefined) => eventually(`${url}`, () => seen.length > 0 && seen.at(-1) === url, WITHIN);

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'sluice-follow-'));
  seen.length = 0;
});
afterEach(async () => {
  await stop();
  await rm(dir, { recursive: true, force: true });
});

test('what is there is known when it resolves', async () => {
  await writeFile(join(dir, 'a.yaml'), POOL('http://x:1'));
  await follow();
  expect(seen).toEqual(['http://x:1']);
});

test('an empty folder is known too', async () => {
  await follow();
  expect(seen).toEqual([undefined]);
});

test('a file made, edited, renamed away and deleted is followed within a second', async () => {
  await follow();
  await writeFile(join(dir, 'a.yaml'), POOL('http://x:1'));
  await becomes('http://x:1');
  await writeFile(join(dir, 'a.yaml'), POOL('http://x:2'));
  await becomes('http://x:2');
  await rename(join(dir, 'a.yaml'), join(dir, 'b.yaml'));
  await writeFile(join(dir, 'b.yaml'), POOL('http://x:3'));
  await becomes('http://x:3');
  await unlink(join(dir, 'b.yaml'));
  await becomes(undefined);
});

test('an editor that unlinks and writes anew, or renames over it, never lets the CR go', async () => {
  await writeFile(join(dir, 'a.yaml'), POOL('http://x:99'));
  await follow();
  for (let round = 1; round <= 10; round++) {
    await unlink(join(dir, 'a.yaml'));
    // Not a wait for something: the pause of an editor, in which the folder is looked at.
    await pause(30);
    await writeFile(join(dir, 'a.yaml'), POOL(`http://x:${round}`));
    await becomes(`http://x:${round}`);
    await writeFile(join(dir, '.a.yaml.swp'), POOL(`http://y:${round}`));
    await rename(join(dir, '.a.yaml.swp'), join(dir, 'a.yaml'));
    await becomes(`http://y:${round}`);
  }
  expect(seen).not.toContain(undefined);
});

test('hidden files, other names and folders below do not count', async () => {
  await mkdir(join(dir, 'below.yaml'));
  await writeFile(join(dir, 'below.yaml', 'a.yaml'), POOL('http://x:1'));
  await writeFile(join(dir, '.a.yaml'), POOL('http://x:1'));
  await writeFile(join(dir, 'a.yaml~'), POOL('http://x:1'));
  await follow();
  expect(seen).toEqual([undefined]);
});

test('the swap of links in a mounted ConfigMap is followed', async () => {
  const mount = async (name: string, url: string) => {
    await mkdir(join(dir, name));
    await writeFile(join(dir, name, 'a.yaml'), POOL(url));
    await symlink(name, join(dir, '..data_tmp'));
    await rename(join(dir, '..data_tmp'), join(dir, '..data'));
  };
  await mount('..2026_1', 'http://x:1');
  await symlink(join('..data', 'a.yaml'), join(dir, 'a.yaml'));
  await follow();
  await becomes('http://x:1');
  await mount('..2026_2', 'http://x:2');
  await becomes('http://x:2');
});

test('a folder that goes away keeps what it held, and is followed again when it is back', async () => {
  const folder = join(dir, 'conf');
  await mkdir(folder);
  await writeFile(join(folder, 'a.yaml'), POOL('http://x:1'));
  await follow(folder);
  await rename(folder, join(dir, 'away'));
  await eventually('the folder is missed', () => seen.length === 2, WITHIN);
  expect(seen).toEqual(['http://x:1', 'http://x:1']);
  await mkdir(folder);
  await writeFile(join(folder, 'a.yaml'), POOL('http://x:2'));
  await becomes('http://x:2');
});

test('a file that is not UTF-8 keeps what it held', async () => {
  await writeFile(join(dir, 'a.yaml'), POOL('http://x:1'));
  await follow();
  await writeFile(join(dir, 'a.yaml'), Buffer.from([0x61, 0x3a, 0x20, 0xff]));
  await eventually('the file is read', () => seen.length === 2, WITHIN);
  expect(seen.at(-1)).toBe('http://x:1');
});

test('nothing new is nothing said', async () => {
  await writeFile(join(dir, 'a.yaml'), POOL('http://x:1'));
  await follow();
  await chmod(join(dir, 'a.yaml'), 0o600);
  await writeFile(join(dir, 'b.txt'), 'x');
  await writeFile(join(dir, 'c.yaml'), '# no CR\n');
  await eventually('c.yaml is read', () => seen.length === 2, WITHIN);
  expect(seen).toEqual(['http://x:1', 'http://x:1']);
});

test('a file behind a link is followed, although nothing happens in the folder itself', async () => {
  const folder = join(dir, 'conf');
  await mkdir(folder);
  await writeFile(join(dir, 'real.yaml'), POOL('http://x:1'));
  await symlink(join(dir, 'real.yaml'), join(folder, 'a.yaml'));
  await follow(folder);
  await writeFile(join(dir, 'real.yaml'), POOL('http://x:2'));
  await becomes('http://x:2');
});
