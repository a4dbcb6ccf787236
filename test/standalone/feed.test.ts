import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { createFeed } from '../../standalone/feed.ts';
import { translateOptions } from '../../standalone/gather.ts';
import type { Look } from '../../standalone/look.ts';
import { type Shelf, shelve } from '../../standalone/shelf.ts';
import { openBench } from '../proxy/config/texts.ts';

const CHAT = 'LLMPool/ml/chat';
const hashed = (key: string): string => createHash('sha256').update(key).digest('hex');

const POOL = `apiVersion: sluice.dev/v1alpha1
kind: LLMPool
metadata: {name: chat, namespace: ml}
spec:
  access: {secretRef: {name: clients}}
  backends: [{name: a, url: "http://127.0.0.1:9/v1"}]
`;
const secret = (keys: string): string => `apiVersion: v1
kind: Secret
metadata: {name: clients, namespace: ml}
stringData: ${keys}
`;

function openFeed() {
  const bench = openBench();
  const feed = createFeed(bench.documents, translateOptions([]), bench.heard.log);
  let shelf: Shelf = new Map();
  const show = async (files: Record<string, string>): Promise<void> => {
    const texts = Object.entries(files).map(([path, text]) => [`conf/${path}`, { text }] as const);
    const look: Look = { files: new Map(texts), unreadable: new Map() };
    shelf = shelve(shelf, look, {});
    feed.update(shelf, look);
    await bench.turn();
  };
  return { ...bench, show };
}

test('client keys of a Secret in a file are let in by their sha256, and followed; it needs no label', async () => {
  const { served, batches, show } = openFeed();
  await show({ 'a.yaml': POOL, 'b.yaml': secret('{ann: client-key-a}') });
  expect(served.get(CHAT)).toMatchObject({ document: { access: { secret: 'clients' } } });
  expect(served.get(CHAT)?.clients).toEqual({ ann: hashed('client-key-a') });
  await show({ 'a.yaml': POOL, 'b.yaml': secret('{ann: client-key-b}') });
  expect(served.get(CHAT)?.clients).toEqual({ ann: hashed('client-key-b') });
  const id = served.get(CHAT)?.document.credentials?.id;
  await show({ 'a.yaml': POOL.replace('spec:', 'spec:\n  maxConcurrent: 1'), 'b.yaml': secret('{ann: client-key-b}') });
  expect(served.get(CHAT)?.document).toMatchObject({ maxConcurrent: 1, credentials: { id } });
  expect(batches).toHaveLength(3);
  expect(JSON.stringify([...served])).not.toContain('client-key');
});

test('without its Secret a pool with access is served to nobody, and that is said', async () => {
  const { served, heard, show } = openFeed();
  await show({ 'a.yaml': POOL, 'b.yaml': secret('{ann: client-key-a}') });
  await show({ 'a.yaml': POOL });
  expect(served.get(CHAT)?.document.access).toEqual({ secret: 'clients' });
  expect(served.get(CHAT)?.clients).toBeUndefined();
  const said = heard.lines.filter(({ level }) => level === 'warn');
  expect(said).toEqual([
    expect.objectContaining({
      fields: { resource: CHAT, condition: 'ResolvedRefs', reason: 'SecretNotFound' },
      message: "spec.access.secretRef: Secret 'clients' is not in namespace ml; until then nobody is let in",
    }),
  ]);
});
