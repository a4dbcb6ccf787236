import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { canonicalJson } from '../../../proxy/config/encode.ts';
import { keepLastGood, readLastGood, restoreLastGood } from '../../../proxy/config/last-good.ts';
import { eventually } from '../../support/eventually.ts';
import { temporaryFolder } from '../../support/reaper.ts';
import { type Bench, credentials, endpoint, endpoints, hearLog, keyedPool, openBench, ownerOf, pool } from './texts.ts';

const CHAT = 'LLMPool/ml/chat';

function filesOf(dir: string): string[] {
  return readdirSync(dir).filter((name) => name !== 'complete.json');
}

/** A folder holding what a bench served: a pool with a key and an address, a plain pool, a sidecar's pool. */
async function savedFolder(): Promise<{ dir: string; saved: Bench }> {
  const dir = join(temporaryFolder('sluice-last-good'), 'snapshot');
  const saved = openBench();
  const keeper = keepLastGood({ dir, documents: saved.documents, log: saved.heard.log, writeAfterMs: 1 });
  saved.documents.put('configmap/chat', keyedPool('chat', { credentials: { id: '1' }, future: { field: 1 } }));
  saved.documents.put('secret/chat', credentials('chat', '1', 'sk-1'));
  saved.documents.put('configmap/chat-0', endpoints('chat', 0, [endpoint('10.0.0.1')]));
  saved.documents.put('configmap/code', pool('code'));
  saved.documents.put('configmap/own', keyedPool('own'));
  saved.documents.putSecret('ml/provider', { 'api-key': 'sk-own', unused: 'never written' });
  await saved.turn();
  keeper.complete();
  await keeper.stop();
  return { dir, saved };
}

async function restore(dir: string): Promise<Bench & { sources: Set<string> | undefined }> {
  const bench = openBench();
  const all = await readLastGood(dir, bench.heard.log);
  const sources = all && restoreLastGood(all, bench.documents);
  await bench.turn();
  return { ...bench, sources };
}

describe('the last good documents', () => {
  test('come back from disk as they were served, to the byte and with their keys', async () => {
    const { dir, saved } = await savedFolder();
    const { served, sources, documents } = await restore(dir);
    expect(new Map([...served].sort())).toEqual(new Map([...saved.served].sort()));
    expect(served.get(CHAT)?.credentials).toEqual({ 'provider/api-key': 'sk-1' });
    expect(served.get('LLMPool/ml/own')?.credentials).toEqual({ 'provider/api-key': 'sk-own' });
    expect(documents.reports().map(({ revision }) => revision)).toEqual(
      saved.documents.reports().map(({ revision }) => revision),
    );
    expect(sources).toEqual(
      new Set(['configmap/chat', 'secret/chat', 'configmap/chat-0', 'configmap/code', 'configmap/own']),
    );
  });

  test('let in the clients they let in before, and hold the keys of none', async () => {
    const dir = temporaryFolder('sluice-last-good');
    const bench = openBench();
    const { documents } = bench;
    const keeper = keepLastGood({ dir, documents, log: bench.heard.log });
    const clients = { ann: 'a'.repeat(64) };
    documents.put('keys', canonicalJson({ ...JSON.parse(credentials('chat', '1', 'sk-1')), clients }));
    documents.put('chat', keyedPool('chat', { access: { secret: 'clients' }, credentials: { id: '1' } }));
    documents.put('own', pool('own', { access: { secret: 'clients' } }));
    documents.put('keyed', keyedPool('keyed', { access: { secret: 'provider' } }));
    documents.put('closed', pool('closed', { access: { secret: 'absent' } }));
    documents.putSecret('ml/clients', { ann: 'key of ann' });
    documents.putSecret('ml/provider', { 'api-key': 'sk-own', bob: 'key of bob' });
    documents.putSecret('ml/absent', undefined);
    await bench.turn();
    keeper.complete();
    await keeper.stop();
    const { served } = await restore(dir);
    const letIn = (name: string): string[] | undefined => {
      const found = served.get(`LLMPool/ml/${name}`)?.clients;
      return found && Object.keys(found);
    };
    expect(new Map([...served].sort())).toEqual(new Map([...bench.served].sort()));
    expect(['chat', 'own', 'keyed', 'closed'].map(letIn)).toEqual([['ann'], ['ann'], ['api-key', 'bob'], undefined]);
    for (const name of filesOf(dir)) expect(readFileSync(join(dir, name), 'utf8')).not.toContain('key of');
  });

  test('are files that only their owner may read, and hold no value that no document uses', async () => {
    const { dir } = await savedFolder();
    expect(statSync(dir).mode & 0o777).toBe(0o700);
    for (const name of readdirSync(dir)) {
      expect(statSync(join(dir, name)).mode & 0o777).toBe(0o600);
      expect(readFileSync(join(dir, name), 'utf8')).not.toContain('never written');
    }
    expect(filesOf(dir)).toHaveLength(3);
  });

  test('hold the pair in use while a rotation is half there, and the good document while a bad one is', async () => {
    const dir = temporaryFolder('sluice-last-good');
    const bench = openBench();
    const keeper = keepLastGood({ dir, documents: bench.documents, log: bench.heard.log });
    bench.documents.put('chat', keyedPool('chat', { credentials: { id: '1' } }));
    bench.documents.put('keys', credentials('chat', '1', 'sk-1'));
    bench.documents.put('code', pool('code'));
    await bench.turn();
    bench.documents.put('keys', credentials('chat', '2', 'sk-2'));
    bench.documents.put('code', '{');
    await bench.turn();
    bench.documents.put('chat-0', endpoints('chat', 0, [endpoint('10.0.0.1')]));
    await bench.turn();
    keeper.complete();
    await keeper.stop();
    const { served } = await restore(dir);
    expect(new Map([...served].sort())).toEqual(new Map([...bench.served].sort()));
    expect(served.get(CHAT)?.credentials).toEqual({ 'provider/api-key': 'sk-1' });
  });

  test('are written where something changed, and nowhere else', async () => {
    const dir = temporaryFolder('sluice-last-good');
    const { documents, heard, turn } = openBench();
    const keeper = keepLastGood({ dir, documents, log: heard.log, writeAfterMs: 5 });
    documents.put('chat', pool('chat'));
    documents.put('code', pool('code'));
    await eventually('both files', () => filesOf(dir).length === 2);
    const times = (): Map<string, bigint> =>
      new Map(filesOf(dir).map((name) => [name, statSync(join(dir, name), { bigint: true }).ino]));
    const before = times();
    documents.put('code', pool('code', { maxConcurrent: 3 }));
    await eventually('one new file', () => [...times()].filter(([name, ino]) => before.get(name) !== ino).length === 1);
    documents.remove('code');
    await eventually('one file less', () => filesOf(dir).length === 1);
    await turn();
    await keeper.stop();
    expect(readFileSync(join(dir, filesOf(dir)[0] ?? ''), 'utf8')).toContain('chat');
  });

  test('lose what is gone, and what a crash left, once everything was read; other files stay', async () => {
    const { dir } = await savedFolder();
    const left = `.${'a'.repeat(40)}.json.0000.tmp`;
    writeFileSync(join(dir, left), 'half');
    writeFileSync(join(dir, 'mine.json'), '{}');
    const { documents, heard, turn } = openBench();
    const keeper = keepLastGood({ dir, documents, log: heard.log });
    documents.put('configmap/code', pool('code'));
    await turn();
    keeper.complete();
    await keeper.stop();
    expect(filesOf(dir)).toHaveLength(2);
    expect(readdirSync(dir)).toContain('mine.json');
    expect([...(await restore(dir)).served.keys()]).toEqual(['LLMPool/ml/code']);
  });

  test('count only as a complete set; an empty one is complete too', async () => {
    const dir = temporaryFolder('sluice-last-good');
    const { documents, heard, turn } = openBench();
    const first = keepLastGood({ dir, documents, log: heard.log });
    documents.put('chat', pool('chat'));
    await turn();
    await first.stop();
    expect(filesOf(dir)).toHaveLength(1);
    expect(await readLastGood(dir, heard.log)).toBeUndefined();
    const empty = temporaryFolder('sluice-last-good');
    const second = keepLastGood({ dir: empty, documents: openBench().documents, log: heard.log });
    second.complete();
    await second.stop();
    expect(await readLastGood(empty, heard.log)).toEqual([]);
    expect(await readLastGood(join(dir, 'nowhere'), heard.log)).toBeUndefined();
  });

  test.each([
    ['cut short', (text: string) => text.slice(0, text.length / 2)],
    ['emptied', () => ''],
    ['of another shape', () => '{"format":1,"owner":"me"}'],
    ['of a later format', (text: string) => text.replace('"format":1,"owner"', '"format":2,"owner"')],
  ])('that are %s are passed over with one clear line, and the others serve', async (_, damage) => {
    const { dir } = await savedFolder();
    const file = filesOf(dir).find((name) => readFileSync(join(dir, name), 'utf8').includes('"name":"code"'));
    const path = join(dir, file ?? '');
    writeFileSync(path, damage(readFileSync(path, 'utf8')));
    const { served, heard } = await restore(dir);
    expect([...served.keys()].sort()).toEqual([CHAT, 'LLMPool/ml/own']);
    const lines = heard.lines.filter(({ level }) => level === 'warn');
    expect(lines).toEqual([{ level: 'warn', fields: { file: path }, message: expect.stringContaining('damaged') }]);
    for (const name of filesOf(dir)) writeFileSync(join(dir, name), 'sk-garbage');
    const log = hearLog();
    expect(await readLastGood(dir, log.log)).toBeUndefined();
    expect(JSON.stringify(log.lines)).not.toContain('sk-');
  });

  test('that cannot be written are complained of once, and written when they can be', async () => {
    const parent = temporaryFolder('sluice-last-good');
    const dir = join(parent, 'snapshot');
    writeFileSync(dir, 'a file where the folder should be');
    const { documents, heard } = openBench();
    const keeper = keepLastGood({ dir, documents, log: heard.log, writeAfterMs: 1 });
    const complaints = (): unknown[] => heard.lines.filter(({ level }) => level === 'error');
    documents.put('chat', pool('chat'));
    await eventually('the complaint', () => complaints().length === 1);
    documents.put('chat', pool('chat', { maxConcurrent: 1 }));
    rmSync(dir);
    mkdirSync(dir);
    documents.put('code', pool('code'));
    await eventually('both files', () => filesOf(dir).length === 2);
    await keeper.stop();
    expect(complaints()).toHaveLength(1);
    expect(documents.records.get(CHAT)?.owner).toEqual(ownerOf('chat'));
  });
});
