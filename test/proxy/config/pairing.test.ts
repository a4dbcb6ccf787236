import { describe, expect, test } from 'vitest';
import { createDocuments, type OwnerInput } from '../../../proxy/config/documents.ts';
import { credentials, endpoint, endpoints, hearLog, keyedPool, openBench, pool } from './texts.ts';

const CHAT = 'LLMPool/ml/chat';
const KEY = 'provider/api-key';

const paired = (id: string, fields: object = {}): string => keyedPool('chat', { credentials: { id }, ...fields });

describe('a document that names its Credentials', () => {
  test('waits for the very ones, while the pair before stays in use', async () => {
    const { documents, served, reports, turn } = openBench();
    documents.put('keys', credentials('chat', '1', 'sk-1'));
    documents.put('chat', paired('1'));
    await turn();
    expect(served.get(CHAT)?.credentials).toEqual({ [KEY]: 'sk-1' });
    documents.put('chat', paired('2'));
    await turn();
    expect(served.get(CHAT)?.document.credentials?.id).toBe('1');
    expect(reports.map(({ state }) => state)).toEqual(['loaded']);
    documents.put('keys', credentials('chat', '2', 'sk-2'));
    await turn();
    expect(served.get(CHAT)).toMatchObject({ document: { credentials: { id: '2' } }, credentials: { [KEY]: 'sk-2' } });
    expect(reports.map(({ state }) => state)).toEqual(['loaded', 'loaded']);
  });

  test('has its addresses followed while a newer one waits', async () => {
    const { documents, served, turn } = openBench();
    documents.put('keys', credentials('chat', '1', 'sk-1'));
    documents.put('chat', paired('1'));
    await turn();
    documents.put('chat', paired('2'));
    documents.put('chat-0', endpoints('chat', 0, [endpoint('10.0.0.1')]));
    await turn();
    expect(served.get(CHAT)).toMatchObject({
      document: { credentials: { id: '1' } },
      endpoints: [endpoint('10.0.0.1')],
    });
  });

  test('goes on with its own when newer Credentials come before their document, edits included', async () => {
    const { documents, served, turn } = openBench();
    documents.put('keys', credentials('chat', '1', 'sk-1'));
    documents.put('chat', paired('1'));
    await turn();
    documents.put('keys', credentials('chat', '2', 'sk-2'));
    await turn();
    documents.put('chat', paired('1', { maxConcurrent: 3 }));
    await turn();
    expect(served.get(CHAT)?.document.maxConcurrent).toBe(3);
    expect(served.get(CHAT)?.credentials).toEqual({ [KEY]: 'sk-1' });
  });

  test('keeps its values when the Credentials are taken away', async () => {
    const { documents, served, batches, turn } = openBench();
    documents.put('keys', credentials('chat', '1', 'sk-1'));
    documents.put('chat', paired('1'));
    await turn();
    documents.remove('keys');
    await turn();
    expect(served.get(CHAT)?.credentials).toEqual({ [KEY]: 'sk-1' });
    expect(batches).toHaveLength(1);
  });

  test('is not given another owner’s Credentials of the same id', async () => {
    const { documents, served, turn } = openBench();
    documents.put('keys', credentials('code', '1', 'sk-of-code'));
    documents.put('chat', paired('1'));
    await turn();
    expect(served.size).toBe(0);
  });

  test('is never seen with other values, whatever the order in which two watches bring a rotation', async () => {
    const configs = [paired('1'), paired('1', { maxConcurrent: 1 }), paired('2'), paired('3')];
    const secrets = ['1', '2', '3'].map((id) => credentials('chat', id, `sk-${id}`));
    let seen = 0;
    for (const order of interleavings(configs.length, secrets.length)) {
      for (let turns = 0; turns < 2 ** order.length; turns += 1) seen += await play(configs, secrets, order, turns);
    }
    expect(seen).toBeGreaterThan(8_000);
  });
});

/** Every order of `a` ConfigMap events and `b` Secret events; true stands for a ConfigMap's. */
function interleavings(a: number, b: number): boolean[][] {
  if (a === 0 || b === 0) return [[...Array<boolean>(a).fill(true), ...Array<boolean>(b).fill(false)]];
  const first = interleavings(a - 1, b).map((rest) => [true, ...rest]);
  return [...first, ...interleavings(a, b - 1).map((rest) => [false, ...rest])];
}

/** Plays one order; bit n of `turns` says whether a turn of the event loop passes after event n. Gives what was seen. */
async function play(configs: string[], secrets: string[], order: boolean[], turns: number): Promise<number> {
  const seen: OwnerInput[] = [];
  const documents = createDocuments({
    apply: (input) => seen.push(input),
    changed: () => undefined,
    log: hearLog().log,
  });
  let config = 0;
  let secret = 0;
  for (const [n, isConfig] of order.entries()) {
    if (isConfig) documents.put('chat', configs[config++] ?? '');
    else documents.put('keys', secrets[secret++] ?? '');
    if ((turns >> n) & 1) await new Promise((resolve) => setImmediate(resolve));
  }
  await new Promise((resolve) => setImmediate(resolve));
  documents.close();
  for (const input of seen) {
    if ('removed' in input) throw new Error(`withdrawn in ${JSON.stringify(order)}`);
    if (input.credentials[KEY] !== `sk-${input.document.credentials?.id}`)
      throw new Error(`mixed in ${JSON.stringify(order)}`);
  }
  expect(seen.at(-1)).toMatchObject({ document: { credentials: { id: '3' } }, credentials: { [KEY]: 'sk-3' } });
  return seen.length;
}

describe('a document that names none, though it uses Secrets (a sidecar’s)', () => {
  test('says which Secrets it wants, and is served with their values', async () => {
    const { documents, served, turn } = openBench();
    documents.put('plain', pool('plain'));
    documents.put('central', keyedPool('central', { credentials: { id: '1' } }));
    expect(documents.wants()).toEqual({ credentials: true, secrets: new Set() });
    documents.put('chat', keyedPool('chat'));
    expect(documents.wants().secrets).toEqual(new Set(['ml/provider']));
    documents.putSecret('ml/provider', { 'api-key': 'sk-1', other: 'x' });
    await turn();
    expect(served.get(CHAT)?.credentials).toEqual({ [KEY]: 'sk-1' });
    documents.remove('chat');
    expect(documents.wants().secrets).toEqual(new Set());
  });

  test('follows a new value, and keeps the last when the Secret goes', async () => {
    const { documents, served, reports, turn } = openBench({ waitMs: 30 });
    documents.put('chat', keyedPool('chat'));
    documents.putSecret('ml/provider', { 'api-key': 'sk-1' });
    await turn();
    documents.putSecret('ml/provider', { 'api-key': 'sk-2' });
    await turn();
    expect(served.get(CHAT)?.credentials).toEqual({ [KEY]: 'sk-2' });
    documents.putSecret('ml/provider', undefined);
    await turn();
    expect(served.get(CHAT)?.credentials).toEqual({ [KEY]: 'sk-2' });
    await expect.poll(() => reports.at(-1)?.message).toMatch('waits for Secret ml/provider: it is not there');
    documents.putSecret('ml/provider', { wrong: 'x' });
    await expect.poll(() => reports.at(-1)?.message).toMatch('it has no key api-key');
    documents.putSecret('ml/provider', { 'api-key': 'sk-3' });
    await expect.poll(() => reports.at(-1)?.state).toBe('loaded');
  });

  test('cannot ask for what is no Secret’s name, nor for what objects inherit', async () => {
    const { documents, served, turn } = openBench();
    const from = (secret: string, key: string): object => ({
      backends: [{ name: 'a', headers: [{ name: 'x', valueFrom: { secret, key } }] }],
    });
    documents.put('chat', pool('chat', from('../../etc', 'passwd')));
    documents.put('code', pool('code', from('a,metadata.name!=b', 'k')));
    documents.put('proto', pool('proto', from('real', 'constructor')));
    documents.putSecret('ml/real', {});
    await turn();
    expect(documents.wants().secrets).toEqual(new Set(['ml/real']));
    expect(served.size).toBe(0);
  });
});
