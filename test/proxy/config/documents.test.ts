import { describe, expect, test } from 'vitest';
import { revisionOf } from '../../../proxy/config/encode.ts';
import { eventually } from '../../support/eventually.ts';
import { credentials, endpoint, endpoints, keyedPool, openBench, ownerOf, pool } from './texts.ts';

const CHAT = 'LLMPool/ml/chat';

describe('a document', () => {
  test('is given whole, with its defaults, its revision over its very bytes, and is reported loaded', async () => {
    const { documents, served, reports, turn } = openBench();
    const text = pool('chat');
    documents.put('chat.json', text);
    await turn();
    const input = served.get(CHAT);
    expect(input?.revision).toBe(revisionOf(text));
    expect(input?.document.queue).toEqual({ maxDepth: 1000, timeoutMs: 60_000, spillAfterMs: 500 });
    expect(input).toMatchObject({ owner: ownerOf('chat'), endpoints: [], credentials: {} });
    expect(reports).toEqual([{ ...ownerOf('chat'), revision: revisionOf(text), state: 'loaded', message: '' }]);
    expect(documents.reports()).toEqual(reports);
  });

  test('may hold fields that nobody knows yet', async () => {
    const { documents, served, turn } = openBench();
    documents.put('chat.json', pool('chat', { rainbow: true, queue: { maxDepth: 5, colour: 'red' } }));
    await turn();
    expect(served.get(CHAT)?.document.queue.maxDepth).toBe(5);
  });

  test('costs nothing when it is put again unchanged', async () => {
    const { documents, batches, turn } = openBench();
    const parsed = (): unknown => documents.records.get(CHAT)?.configs.get('chat.json');
    documents.put('chat.json', pool('chat'));
    await turn();
    const before = parsed();
    documents.put('chat.json', pool('chat'));
    await turn();
    expect(batches).toHaveLength(1);
    expect(parsed()).toBe(before);
  });

  test('of one turn of the event loop is one change with its others', async () => {
    const { documents, batches, turn } = openBench();
    documents.put('chat.json', pool('chat'));
    documents.put('chat.json', pool('chat', { maxConcurrent: 1 }));
    documents.put('code.json', pool('code'));
    documents.put('gone.json', pool('gone'));
    documents.remove('gone.json');
    await turn();
    expect(batches.map((batch) => batch.map(({ owner }) => owner.name))).toEqual([['chat', 'code']]);
  });

  test('that is removed takes its owner away, and that is reported', async () => {
    const { documents, served, batches, reports, turn } = openBench();
    documents.put('chat.json', pool('chat'));
    documents.put('chat-0.json', endpoints('chat', 0, [endpoint('10.0.0.1')]));
    await turn();
    documents.remove('chat.json');
    await turn();
    expect(served.size).toBe(0);
    expect(batches.at(-1)).toEqual([{ owner: ownerOf('chat'), removed: true }]);
    expect(reports.at(-1)).toMatchObject({ name: 'chat', state: 'removed' });
    expect(documents.reports()).toEqual([]);
  });

  test('that moves to another source in one turn changes nothing', async () => {
    const { documents, batches, reports, turn } = openBench();
    documents.put('a.json', pool('chat'));
    await turn();
    documents.remove('a.json');
    documents.put('b.json', pool('chat'));
    await turn();
    expect(batches).toHaveLength(1);
    expect(reports.filter(({ state }) => state === 'removed')).toEqual([]);
  });

  test('whose source turns to another owner leaves the first', async () => {
    const { documents, served, turn } = openBench();
    documents.put('a.json', pool('chat'));
    await turn();
    documents.put('a.json', pool('code'));
    await turn();
    expect([...served.keys()]).toEqual(['LLMPool/ml/code']);
    expect(documents.reports().map(({ name }) => name)).toEqual(['code']);
  });
});

describe('a bad document', () => {
  test.each([
    ['half-written', pool('chat').slice(0, 40), /is not JSON/],
    ['empty', '', /is empty/],
    ['of a wrong type', pool('chat', { queue: { maxDepth: 'many' } }), /queue\.maxDepth: .*expected number/],
    ['wrong deep inside', pool('chat', { backends: [{ name: 'a', weight: -1 }] }), /backends\[0\]\.weight: /],
    ['of a later format', pool('chat', { format: 2 }), /format: .*update the proxy/],
  ])('that is %s leaves the last good one, and is reported with its field', async (_, bad, message) => {
    const { documents, served, reports, batches, turn } = openBench();
    documents.put('chat.json', pool('chat'));
    documents.put('code.json', pool('code'));
    await turn();
    documents.put('chat.json', bad);
    await turn();
    expect(served.get(CHAT)?.revision).toBe(revisionOf(pool('chat')));
    expect(batches).toHaveLength(1);
    expect(reports.at(-1)).toEqual({
      ...ownerOf('chat'),
      state: 'rejected',
      revision: revisionOf(bad),
      message: expect.stringMatching(message),
    });
    expect(documents.stats()).toMatchObject({ loaded: 2, rejected: 1, rejections: 1 });
    documents.put('chat.json', pool('chat'));
    await turn();
    expect(reports.at(-1)).toMatchObject({ state: 'loaded', revision: revisionOf(pool('chat')) });
    expect(documents.stats()).toMatchObject({ loaded: 2, rejected: 0, rejections: 1 });
  });

  test('that was never good is reported for its owner where it says so, or its source does', async () => {
    const { documents, served, turn } = openBench();
    documents.put('a.json', pool('chat', { models: 'chat' }));
    documents.put('configmap/x', '{', ownerOf('code'));
    await turn();
    expect(served.size).toBe(0);
    expect(documents.reports()).toEqual([
      {
        ...ownerOf('chat'),
        state: 'rejected',
        revision: expect.any(String),
        message: expect.stringContaining('models: '),
      },
      { ...ownerOf('code'), state: 'rejected', revision: revisionOf('{'), message: expect.stringContaining('JSON') },
    ]);
  });

  test('of which nobody knows whose it is is named by its source', async () => {
    const { documents, heard, turn } = openBench();
    documents.put('notes.json', 'hello');
    documents.put('list.json', '[1]');
    await turn();
    expect(documents.strays().map(({ source }) => source)).toEqual(['notes.json', 'list.json']);
    expect(heard.lines.filter(({ level }) => level === 'warn')).toHaveLength(2);
    expect(documents.stats()).toMatchObject({ rejected: 2, rejections: 2 });
    documents.remove('notes.json');
    documents.put('list.json', pool('chat'));
    await turn();
    expect(documents.strays()).toEqual([]);
  });

  test('of Endpoints or Credentials leaves what that source held before', async () => {
    const { documents, served, turn } = openBench();
    documents.put('chat.json', keyedPool('chat', { credentials: { id: '1' } }));
    documents.put('keys.json', credentials('chat', '1', 'sk-one'));
    documents.put('addresses.json', endpoints('chat', 0, [endpoint('10.0.0.1')]));
    await turn();
    const before = served.get(CHAT);
    documents.put('keys.json', credentials('chat', '1', 'sk-one').slice(0, 30));
    documents.put('addresses.json', endpoints('chat', 0, [endpoint('10.0.0.2', { port: 70_000 })]));
    await turn();
    expect(served.get(CHAT)).toBe(before);
    expect(documents.strays()).toEqual([
      { source: 'keys.json', message: expect.stringContaining(CHAT) },
      { source: 'addresses.json', message: expect.stringContaining('endpoints[0].port') },
    ]);
  });

  test('never has its words in a report or a log line', async () => {
    const { documents, heard, turn } = openBench();
    documents.put('keys.json', 'sk-secret {"values": {"a": "sk-secret"}}');
    documents.put('more.json', `{"format":1,"kind":"Credentials","values":{"a":"sk-secret" "b":1}}`);
    documents.put('third.json', `{"format":1,"kind":"Credentials","id":1,"values":{"a":["sk-secret"]}}`);
    await turn();
    expect(documents.strays()).toHaveLength(3);
    expect(JSON.stringify([documents.strays(), documents.reports(), heard.lines])).not.toContain('sk-');
  });

  test('is also one that cannot be applied: its words are reported, the others go on', async () => {
    const { documents, served, reports, turn } = openBench({
      apply: (input) => {
        if ('document' in input && input.document.maxConcurrent === 13) throw new Error('maxConcurrent: not 13');
      },
    });
    documents.put('chat.json', pool('chat'));
    await turn();
    documents.put('chat.json', pool('chat', { maxConcurrent: 13 }));
    documents.put('code.json', pool('code'));
    documents.put('chat-0.json', endpoints('chat', 0, [endpoint('10.0.0.1')]));
    await turn();
    const bad = revisionOf(pool('chat', { maxConcurrent: 13 }));
    expect(reports).toContainEqual({
      ...ownerOf('chat'),
      state: 'rejected',
      revision: bad,
      message: 'maxConcurrent: not 13',
    });
    // The last good document stays, with today's addresses.
    expect(served.get(CHAT)?.revision).toBe(revisionOf(pool('chat')));
    expect(served.get(CHAT)?.endpoints).toHaveLength(1);
    expect(served.has('LLMPool/ml/code')).toBe(true);
  });
});

describe('an owner published by two sources', () => {
  test('is served from the first in order, whichever came first; the second is refused until the first goes', async () => {
    for (const order of [
      ['a.json', 'b.json'],
      ['b.json', 'a.json'],
    ]) {
      const { documents, served, turn } = openBench();
      for (const source of order) {
        documents.put(source, pool('chat', { maxConcurrent: source === 'a.json' ? 1 : 2 }));
        await turn();
      }
      expect(served.get(CHAT)?.document.maxConcurrent).toBe(1);
      expect(documents.reports().map(({ state, message }) => ({ state, message }))).toEqual(
        expect.arrayContaining([
          { state: 'loaded', message: '' },
          { state: 'rejected', message: 'LLMPool/ml/chat is published twice: a.json is used' },
        ]),
      );
      documents.remove('a.json');
      await turn();
      expect(served.get(CHAT)?.document.maxConcurrent).toBe(2);
      expect(documents.reports().map(({ state }) => state)).toEqual(['loaded']);
    }
  });
});

describe('addresses', () => {
  test('of all pieces are joined, sorted, each once', async () => {
    const { documents, served, turn } = openBench();
    documents.put('1.json', endpoints('chat', 1, [endpoint('10.0.0.3'), endpoint('10.0.0.1')]));
    documents.put('chat.json', pool('chat'));
    documents.put('0.json', endpoints('chat', 0, [endpoint('10.0.0.2'), endpoint('10.0.0.1')]));
    await turn();
    expect(served.get(CHAT)?.endpoints.map(({ address }) => address)).toEqual(['10.0.0.1', '10.0.0.2', '10.0.0.3']);
    documents.remove('1.json');
    await turn();
    expect(served.get(CHAT)?.endpoints.map(({ address }) => address)).toEqual(['10.0.0.1', '10.0.0.2']);
  });

  test('that two pieces hold are ready only where both say so', async () => {
    const { documents, served, turn } = openBench();
    documents.put('chat.json', pool('chat'));
    documents.put('0.json', endpoints('chat', 0, [endpoint('10.0.0.1', { ready: false })]));
    documents.put('1.json', endpoints('chat', 1, [endpoint('10.0.0.1')]));
    await turn();
    expect(served.get(CHAT)?.endpoints).toEqual([endpoint('10.0.0.1', { ready: false })]);
  });

  test('change without the document: it stays the same object, its revision is not reported again', async () => {
    const { documents, served, reports, turn } = openBench();
    documents.put('chat.json', pool('chat'));
    documents.put('0.json', endpoints('chat', 0, [endpoint('10.0.0.1')]));
    await turn();
    const before = served.get(CHAT);
    documents.put('0.json', endpoints('chat', 0, [endpoint('10.0.0.1', { ready: false })]));
    await turn();
    expect(served.get(CHAT)?.document).toBe(before?.document);
    expect(served.get(CHAT)?.endpoints[0]?.ready).toBe(false);
    expect(reports).toHaveLength(1);
  });

  test('without a document are kept for it and serve nobody', async () => {
    const { documents, batches, turn } = openBench();
    documents.put('0.json', endpoints('chat', 0, [endpoint('10.0.0.1')]));
    await turn();
    expect(batches).toEqual([]);
  });
});

describe('a whole read', () => {
  test('is settled once it is served, even an empty one, and says its source', async () => {
    const { documents } = openBench();
    expect(documents.settled()).toBe(false);
    expect(documents.source()).toBeUndefined();
    documents.settle('folder');
    await documents.whenSettled;
    expect(documents.source()).toBe('folder');
  });

  test('with a bad document in it is settled all the same', async () => {
    const { documents } = openBench();
    documents.put('chat.json', '{');
    documents.settle('api');
    await documents.whenSettled;
    expect(documents.settled()).toBe(true);
  });

  test('waits for values on their way, but not for ever', async () => {
    const { documents, served, turn } = openBench({ waitMs: 60 });
    documents.put('chat.json', keyedPool('chat', { credentials: { id: '1' } }));
    documents.settle('api');
    await turn();
    expect(documents.settled()).toBe(false);
    expect(documents.reports()).toEqual([]);
    await documents.whenSettled;
    expect(served.size).toBe(0);
    expect(documents.reports()).toEqual([
      expect.objectContaining({ state: 'rejected', message: expect.stringContaining('waits for its Credentials 1') }),
    ]);
    documents.put('keys.json', credentials('chat', '1', 'sk-one'));
    await eventually('loaded', () => documents.reports()[0]?.state === 'loaded');
  });
});

describe('2,000 documents', () => {
  test('cost an edit of one no more than that one', async () => {
    const { documents, batches, applied, turn } = openBench();
    for (let n = 0; n < 2_000; n += 1) documents.put(`${n}.json`, pool(`p${n}`));
    documents.settle();
    await turn();
    expect(applied).toHaveLength(2_000);
    const times: number[] = [];
    for (let n = 0; n < 200; n += 1) {
      const startedAt = performance.now();
      documents.put('7.json', pool('p7', { maxConcurrent: n }));
      await new Promise((resolve) => setImmediate(resolve));
      times.push(performance.now() - startedAt);
      expect(batches.at(-1)).toHaveLength(1);
    }
    expect(applied).toHaveLength(2_200);
    times.sort((a, b) => a - b);
    expect(times[100]).toBeLessThan(2);
  });
});
