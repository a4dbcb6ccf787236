import { mkdirSync, readlinkSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { type ConfigFeed, followFolder } from '../../../proxy/config/folder.ts';
import { scanFolder } from '../../../proxy/config/folder-scan.ts';
import { eventually } from '../../support/eventually.ts';
import { temporaryFolder } from '../../support/reaper.ts';
import { type Bench, credentials, endpoint, endpoints, keyedPool, openBench, pool } from './texts.ts';

const CHAT = 'LLMPool/ml/chat';
const open: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

interface Followed extends Bench {
  readonly dir: string;
  readonly feed: ConfigFeed;
  readonly write: (path: string, text: string) => void;
  /** The limit of this pool as served. */
  readonly limit: (name?: string) => number | undefined;
}

function folder(): string {
  const dir = temporaryFolder('sluice-config');
  open.push(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

function follow(dir = folder(), { pollMs = 60_000, waitMs = 5_000 } = {}): Followed {
  const bench = openBench({ waitMs });
  const feed = followFolder({ dir, documents: bench.documents, log: bench.heard.log, pollMs });
  open.push(feed.stop, bench.documents.close);
  const write = (path: string, text: string): void => {
    mkdirSync(dirname(join(dir, path)), { recursive: true });
    writeFileSync(join(dir, path), text);
  };
  const limit = (name = 'chat'): number | undefined => bench.served.get(`LLMPool/ml/${name}`)?.document.maxConcurrent;
  return { ...bench, dir, feed, write, limit };
}

/** Writes a volume as the kubelet does: a dated folder, links to it through `..data`, swapped by one rename. */
function mountVolume(dir: string, version: string, files: Record<string, string>): void {
  const dated = `..2026_01_01_${version}`;
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(dir, dated, path)), { recursive: true });
    writeFileSync(join(dir, dated, path), text);
  }
  const data = join(dir, '..data');
  let before: string | undefined;
  try {
    before = readlinkSync(data);
  } catch {
    // The first version.
  }
  symlinkSync(dated, join(dir, '..data_tmp'));
  renameSync(join(dir, '..data_tmp'), data);
  for (const top of new Set(Object.keys(files).map((path) => path.split('/')[0] ?? ''))) {
    rmSync(join(dir, top), { force: true });
    symlinkSync(join('..data', top), join(dir, top));
  }
  if (before !== undefined) rmSync(join(dir, before), { recursive: true });
}

describe('a folder', () => {
  test('is read at any depth, and settled when it was read whole', async () => {
    const dir = folder();
    mkdirSync(join(dir, 'deep/er'), { recursive: true });
    writeFileSync(join(dir, 'chat.json'), pool('chat'));
    writeFileSync(join(dir, 'deep/er/code.json'), pool('code'));
    writeFileSync(join(dir, 'deep/notes.txt'), 'hello');
    writeFileSync(join(dir, '.chat.json.swp.json'), pool('hidden'));
    const { documents, served } = follow(dir);
    await documents.whenSettled;
    expect([...served.keys()].sort()).toEqual([CHAT, 'LLMPool/ml/code']);
    expect(documents.source()).toBe('folder');
    expect(documents.strays()).toEqual([]);
  });

  test('that is empty is settled', async () => {
    const { documents } = follow();
    await documents.whenSettled;
    expect(documents.reports()).toEqual([]);
  });

  test('has its edits, new files and deletions followed by what the system tells, well within a second', async () => {
    const { write, documents, served, limit, dir } = follow();
    await documents.whenSettled;
    write('new/chat.json', pool('chat', { maxConcurrent: 1 }));
    const soon = { timeoutMs: 900, intervalMs: 2 };
    await eventually('a new file in a new folder', () => limit() === 1, soon);
    write('new/chat.json', pool('chat', { maxConcurrent: 2 }));
    await eventually('an edit', () => limit() === 2, soon);
    write('new/aside', pool('chat', { maxConcurrent: 3 }));
    renameSync(join(dir, 'new/aside'), join(dir, 'new/chat.json'));
    await eventually('a rename over it', () => limit() === 3, soon);
    unlinkSync(join(dir, 'new/chat.json'));
    await eventually('a deletion', () => served.size === 0, soon);
    write('new/chat.json', pool('chat', { maxConcurrent: 4 }));
    await eventually('its return', () => limit() === 4, soon);
    rmSync(join(dir, 'new'), { recursive: true });
    await eventually('the deletion of its folder', () => served.size === 0, soon);
  });

  test('has edits found by looking where the system tells nothing', async () => {
    const outside = folder();
    writeFileSync(join(outside, 'x.json'), pool('chat', { maxConcurrent: 1 }));
    const dir = folder();
    // The folder of the file behind the link is not watched.
    symlinkSync(join(outside, 'x.json'), join(dir, 'chat.json'));
    const { documents, limit } = follow(dir, { pollMs: 50 });
    await documents.whenSettled;
    writeFileSync(join(outside, 'x.json'), pool('chat', { maxConcurrent: 2 }));
    await eventually('an edit behind a link', () => limit() === 2);
  });

  test('is looked at with files written just now told apart: a later write may have the same times', async () => {
    const dir = folder();
    writeFileSync(join(dir, 'chat.json'), '{}');
    const settled = async (atMs: number): Promise<boolean | undefined> =>
      (await scanFolder(dir, atMs)).files.get('chat.json')?.isSettled;
    expect(await settled(Date.now())).toBe(false);
    expect(await settled(Date.now() + 60_000)).toBe(true);
  });

  test('notices two edits of the same length within one tick of the file system’s clock', async () => {
    const { write, documents, limit } = follow(folder(), { pollMs: 20 });
    await documents.whenSettled;
    for (let n = 10; n < 60; n += 1) {
      write('chat.json', pool('chat', { maxConcurrent: n }));
      if (n % 7 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await eventually('the last one', () => limit() === 59);
  });

  test('never loses a document while an editor replaces its file', async () => {
    const { write, documents, limit, batches, dir, served } = follow();
    write('chat.json', pool('chat', { maxConcurrent: 0 }));
    await documents.whenSettled;
    await eventually('the first', () => limit() === 0);
    for (let n = 1; n <= 5; n += 1) {
      renameSync(join(dir, 'chat.json'), join(dir, 'chat.json~'));
      // Looked at twice while it is not there.
      for (const other of ['one', 'two']) {
        write('other.json', pool(`${other}${n}`));
        await eventually(other, () => served.has(`LLMPool/ml/${other}${n}`), { intervalMs: 1 });
      }
      write('chat.json', pool('chat', { maxConcurrent: n }));
      await eventually('an edit', () => limit() === n);
    }
    const removed = batches.flat().filter((change) => 'removed' in change);
    expect(removed.filter(({ owner }) => owner.name === 'chat')).toEqual([]);
  });

  test('keeps the last good version of a half-written file, and says so', async () => {
    const { write, documents, limit } = follow();
    write('chat.json', pool('chat', { maxConcurrent: 1 }));
    write('code.json', pool('code'));
    await eventually('both', () => documents.reports().length === 2);
    const text = pool('chat', { maxConcurrent: 2 });
    write('chat.json', text.slice(0, -20));
    write('code.json', pool('code', { maxConcurrent: 7 }));
    await eventually('the refusal', () => documents.reports()[0]?.state === 'rejected');
    expect(documents.reports()[0]?.message).toMatch(/^chat\.json: is not JSON/);
    expect(limit()).toBe(1);
    await eventually('the other one', () => limit('code') === 7);
    write('chat.json', text);
    await eventually('the whole', () => limit() === 2);
  });

  test('that is missing at the start is waited for, with one line that says so', async () => {
    const dir = join(folder(), 'later');
    const { documents, heard, write, limit } = follow(dir, { pollMs: 20 });
    const complaints = (): object[] => heard.lines.filter(({ level }) => level === 'error');
    await eventually('the complaint', () => complaints().length === 1);
    expect(documents.settled()).toBe(false);
    write('chat.json', pool('chat', { maxConcurrent: 1 }));
    await documents.whenSettled;
    await eventually('the document', () => limit() === 1);
    expect(complaints()).toEqual([
      { level: 'error', fields: { dir, reason: 'ENOENT' }, message: expect.stringContaining('cannot be read') },
    ]);
  });

  test('that vanishes or turns unreadable keeps what was read, and comes back', async () => {
    const { documents, heard, write, limit, dir, served } = follow(folder(), { pollMs: 20 });
    write('chat.json', pool('chat', { maxConcurrent: 1 }));
    await eventually('the document', () => limit() === 1);
    renameSync(dir, `${dir}-away`);
    await eventually('the complaint', () => heard.lines.some(({ level }) => level === 'error'));
    expect(served.size).toBe(1);
    renameSync(`${dir}-away`, dir);
    await eventually('the relief', () => heard.lines.some(({ level }) => level === 'info'));
    write('chat.json', pool('chat', { maxConcurrent: 2 }));
    await eventually('an edit', () => limit() === 2);
    expect(documents.strays()).toEqual([]);
  });

  test('passes over what is not a plain file, is too large, or leads in a circle', async () => {
    const { documents, write, dir, limit } = follow(folder(), { pollMs: 20 });
    mkdirSync(join(dir, 'folder.json'));
    symlinkSync('..', join(dir, 'folder.json/up'));
    symlinkSync('nowhere', join(dir, 'dangling.json'));
    write('large.json', ' '.repeat(5 * 1024 * 1024));
    write('chat.json', pool('chat', { maxConcurrent: 1 }));
    await eventually('the document', () => limit() === 1);
    await eventually('the refusal', () => documents.strays().length === 1);
    expect(documents.strays()[0]).toMatchObject({ source: 'large.json', message: expect.stringContaining('larger') });
    unlinkSync(join(dir, 'large.json'));
    await eventually('its end', () => documents.strays().length === 0);
  });

  test('keeps the last good version of a file that cannot be looked at, and reads it again when it can', async () => {
    const { documents, write, dir, limit } = follow(folder(), { pollMs: 20 });
    write('chat.json', pool('chat', { maxConcurrent: 1 }));
    await eventually('the document', () => limit() === 1);
    renameSync(join(dir, 'chat.json'), join(dir, 'aside'));
    symlinkSync('chat.json', join(dir, 'chat.json'));
    await eventually('the refusal', () => documents.reports()[0]?.state === 'rejected');
    expect(documents.reports()[0]?.message).toBe('chat.json: cannot be read (ELOOP)');
    expect(limit()).toBe(1);
    renameSync(join(dir, 'aside'), join(dir, 'chat.json'));
    await eventually('its return', () => documents.reports()[0]?.state === 'loaded');
  });
});

describe('a mounted ConfigMap', () => {
  test('is followed over link swaps; each document is read once, and none is ever missing', async () => {
    const dir = folder();
    mountVolume(dir, '0', { 'config.json': pool('chat', { maxConcurrent: 0 }) });
    const { documents, limit, batches } = follow(dir);
    await documents.whenSettled;
    expect(documents.reports()).toHaveLength(1);
    for (let n = 1; n <= 30; n += 1) {
      mountVolume(dir, `${n}`, { 'config.json': pool('chat', { maxConcurrent: n }) });
      await eventually(`version ${n}`, () => limit() === n, { timeoutMs: 1_000, intervalMs: 1 });
    }
    expect(batches.flat().filter((change) => 'removed' in change)).toEqual([]);
    expect(documents.stats().rejections).toBe(0);
  });

  test('loses a document with its key', async () => {
    const dir = folder();
    mountVolume(dir, '1', { 'chat.json': pool('chat'), 'code.json': pool('code') });
    const { documents, served } = follow(dir);
    await documents.whenSettled;
    mountVolume(dir, '2', { 'chat.json': pool('chat') });
    unlinkSync(join(dir, 'code.json'));
    await eventually('the end of code', () => served.size === 1);
    expect([...served.keys()]).toEqual([CHAT]);
  });

  test('beside others, each in a folder of its own, may hold Endpoints and Credentials', async () => {
    const dir = folder();
    for (const name of ['pool', 'endpoints', 'credentials']) mkdirSync(join(dir, name));
    mountVolume(join(dir, 'pool'), '1', { 'config.json': keyedPool('chat', { credentials: { id: '1' } }) });
    mountVolume(join(dir, 'endpoints'), '1', { 'endpoints.json': endpoints('chat', 0, [endpoint('10.0.0.1')]) });
    mountVolume(join(dir, 'credentials'), '1', { 'credentials.json': credentials('chat', '1', 'sk-1') });
    const { documents, served } = follow(dir);
    await documents.whenSettled;
    expect(served.get(CHAT)).toMatchObject({
      endpoints: [endpoint('10.0.0.1')],
      credentials: { 'provider/api-key': 'sk-1' },
    });
  });
});

describe('a sidecar’s folder', () => {
  test('has the user’s own Secrets beside the documents, under secrets/NAME/KEY', async () => {
    const dir = folder();
    mkdirSync(join(dir, 'secrets/provider'), { recursive: true });
    mountVolume(join(dir, 'secrets/provider'), '1', { 'api-key': 'sk-1', 'not-a-document.json': pool('evil') });
    writeFileSync(join(dir, 'chat.json'), keyedPool('chat'));
    const { documents, served } = follow(dir);
    await documents.whenSettled;
    expect(served.get(CHAT)?.credentials).toEqual({ 'provider/api-key': 'sk-1' });
    expect(served.size).toBe(1);
    mountVolume(join(dir, 'secrets/provider'), '2', { 'api-key': 'sk-2' });
    const key = (): unknown => served.get(CHAT)?.credentials['provider/api-key'];
    await eventually('the new key', () => key() === 'sk-2', { timeoutMs: 900 });
  });

  test('may come as one projected volume', async () => {
    const dir = folder();
    mountVolume(dir, '1', { 'config.json': keyedPool('chat'), 'secrets/provider/api-key': 'sk-1' });
    const { documents, served } = follow(dir);
    await documents.whenSettled;
    expect(served.get(CHAT)?.credentials).toEqual({ 'provider/api-key': 'sk-1' });
    mountVolume(dir, '2', { 'config.json': keyedPool('chat'), 'secrets/provider/api-key': 'sk-2' });
    const key = (): unknown => served.get(CHAT)?.credentials['provider/api-key'];
    await eventually('the new key', () => key() === 'sk-2', { timeoutMs: 900 });
  });

  test('lets in the clients of a Secret that appears, and nobody before', async () => {
    const dir = folder();
    writeFileSync(join(dir, 'chat.json'), pool('chat', { access: { secret: 'clients' } }));
    const { documents, served, write } = follow(dir);
    await documents.whenSettled;
    const clients = (): string => Object.keys(served.get(CHAT)?.clients ?? { nobody: '' }).join();
    expect(clients()).toBe('nobody');
    write('secrets/clients/ann', 'key of ann\n');
    await eventually('ann', () => clients() === 'ann', { timeoutMs: 900 });
    write('secrets/clients/bob', 'key of bob\n');
    await eventually('both', () => clients() === 'ann,bob', { timeoutMs: 900 });
    rmSync(join(dir, 'secrets/clients/ann'));
    await eventually('ann is out', () => clients() === 'bob', { timeoutMs: 900 });
    rmSync(join(dir, 'secrets/clients'), { recursive: true });
    await eventually('all are out', () => clients() === 'nobody', { timeoutMs: 900 });
  });

  test('that lacks a Secret serves the other documents, and says which one', async () => {
    const dir = folder();
    writeFileSync(join(dir, 'chat.json'), keyedPool('chat'));
    writeFileSync(join(dir, 'code.json'), pool('code'));
    const { documents, served } = follow(dir, { waitMs: 50 });
    await documents.whenSettled;
    expect([...served.keys()]).toEqual(['LLMPool/ml/code']);
    expect(documents.reports()[0]).toMatchObject({
      name: 'chat',
      state: 'rejected',
      message: expect.stringContaining('Secret ml/provider'),
    });
  });
});
