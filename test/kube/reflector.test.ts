import { describe, expect, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { reflectorBench, watchLine } from './reflector-bench.ts';

const { bench, newNamespace, put, drop, follow, requests, watching } = reflectorBench();

describe('a reflector', () => {
  test('reads 1,200 objects in pages of 500 and tells of each once', async () => {
    const namespace = await newNamespace();
    const names = Array.from({ length: 1200 }, (_, index) => `c${index}`);
    const create = (name: string) =>
      bench.api.call('POST', `/api/v1/namespaces/${namespace}/configmaps`, { metadata: { name } });
    for (let at = 0; at < names.length; at += 50) await Promise.all(names.slice(at, at + 50).map(create));

    const { reflector, changes, complete } = follow(namespace);
    expect(reflector.synced()).toBe(false);
    await reflector.whenSynced;

    expect(reflector.synced()).toBe(true);
    expect(changes).toHaveLength(1200);
    expect(requests(namespace, 'list')).toHaveLength(3);
    expect(requests(namespace, 'list').every((line) => line.includes('limit=500'))).toBe(true);
    await complete();
  });

  test('starts the list again when its continue token has expired, and ends up complete', async () => {
    const namespace = await newNamespace();
    for (const name of ['a', 'b', 'c']) await put(namespace, name, '1');
    bench.proxy.fault({ match: new RegExp(`${namespace}/configmaps.*continue=`), answer: { status: 410 } });

    const { complete, changes } = follow(namespace, { timings: { pageSize: 2 } });
    await complete();

    expect(changes.map(({ key }) => key)).toEqual([`${namespace}/a`, `${namespace}/b`, `${namespace}/c`]);
    expect(requests(namespace, 'list')).toHaveLength(4);
  });

  test('tells of a creation, a change with what was before, and a deletion', async () => {
    const namespace = await newNamespace();
    const { reflector, changes, complete } = follow(namespace);
    await reflector.whenSynced;

    await put(namespace, 'a', '1');
    await complete();
    await put(namespace, 'a', '2');
    await complete();
    await drop(namespace, 'a');
    await complete();

    const values = changes.map(({ now, before }) => [now?.data, before?.data]);
    expect(values).toEqual([
      [{ value: '1' }, undefined],
      [{ value: '2' }, { value: '1' }],
      [undefined, { value: '2' }],
    ]);
  });

  test('says nothing when what it keeps of an object is the same', async () => {
    const namespace = await newNamespace();
    await put(namespace, 'a', '1');
    const project = ({ metadata }: { metadata: { name: string } }) => ({ version: '', data: metadata.name });
    const { reflector, changes } = follow(namespace, { project });
    await reflector.whenSynced;

    await put(namespace, 'a', '2');
    await put(namespace, 'b', '1');
    await eventually('b is seen', () => reflector.items.has(`${namespace}/b`));

    expect(changes.map(({ key }) => key)).toEqual([`${namespace}/a`, `${namespace}/b`]);
  });

  test('forgets an object that is no longer of interest, and one that leaves its label selector', async () => {
    const namespace = await newNamespace();
    const configMap = (name: string, on: string) =>
      bench.api.apply({
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name, namespace, labels: { on } },
        data: { name },
      });
    await configMap('a', 'yes');
    await configMap('b', 'yes');
    const { reflector, changes } = follow(namespace, {
      labelSelector: 'on=yes',
      project: ({ metadata, ['data']: data }) =>
        metadata.annotations?.['skip'] ? undefined : { version: metadata.resourceVersion ?? '', data },
    });
    await reflector.whenSynced;

    await configMap('a', 'no');
    const annotate = { metadata: { annotations: { skip: 'true' } } };
    const path = `/api/v1/namespaces/${namespace}/configmaps/b`;
    await bench.api.call('PATCH', path, annotate, 'application/merge-patch+json');
    await eventually('both are forgotten', () => reflector.items.size === 0);

    expect(changes.filter(({ now }) => now === undefined).map(({ key }) => key)).toEqual([
      `${namespace}/a`,
      `${namespace}/b`,
    ]);
  });

  test('asks for bookmarks and for watches that end after 30 to 45 s, so that a half-open one shows within 60 s', async () => {
    const seconds = [];
    for (const random of [0, 0.5, 0.999]) {
      const namespace = await newNamespace();
      const timings = { watchMinSeconds: 30, watchMaxSeconds: 45 };
      const { reflector } = follow(namespace, { random: () => random, timings });
      await watching(namespace);
      await reflector.stop();
      const line = requests(namespace, 'watch')[0] ?? '';
      expect(line).toContain('allowWatchBookmarks=true');
      seconds.push(Number(/timeoutSeconds=(\d+)/.exec(line)?.[1]));
    }
    expect(seconds).toEqual([30, 38, 45]);
  });

  test('goes on after callbacks that throw, and says for which object', async () => {
    const namespace = await newNamespace();
    await put(namespace, 'bad', '1');
    let changes = 0;
    const { reflector, log } = follow(namespace, {
      changed: () => {
        changes += 1;
        throw new Error('handler fault');
      },
      project: ({ metadata, ['data']: data }) => {
        if (metadata.name === 'bad') throw new Error('projection fault');
        return { version: '', data };
      },
    });
    await reflector.whenSynced;
    await put(namespace, 'a', '1');
    await put(namespace, 'b', '1');
    await eventually('both are kept', () => reflector.items.size === 2);

    expect(changes).toBe(2);
    const keys = log.lines
      .filter(({ level }) => level === 'error')
      .map(({ fields }) => (fields as { key: string }).key);
    expect(new Set(keys)).toEqual(new Set([`${namespace}/bad`, `${namespace}/a`, `${namespace}/b`]));
  });

  test('finds by its full resync what no watch told it', async () => {
    const namespace = await newNamespace();
    await put(namespace, 'a', '1');
    // After this bookmark from the future, the API server sends no event that is older than it.
    bench.proxy.fault({
      match: new RegExp(`${namespace}/configmaps.*watch=true`),
      answer: watchLine('BOOKMARK', { metadata: { resourceVersion: '999999999' } }),
    });
    const { reflector, complete } = follow(namespace, { timings: { resyncMs: 2_500 } });
    await reflector.whenSynced;
    await eventually('it watches from the future', () =>
      requests(namespace, 'watch').some((l) => /=999999999/.test(l)),
    );

    await put(namespace, 'a', '2');
    await put(namespace, 'b', '1');
    await complete();
  });

  test('counts the seconds since the API server last said anything, bookmarks and openings included', async () => {
    const namespace = await newNamespace();
    let nowMs = 0;
    const { reflector } = follow(namespace, { clock: () => nowMs });
    await reflector.whenSynced;
    await watching(namespace);
    nowMs += 100_000;
    expect(reflector.lastEventAgeSeconds()).toBeGreaterThan(99);
    await eventually('a bookmark or a new watch', () => reflector.lastEventAgeSeconds() === 0);
  });
});

describe('a reflector that is stopped', () => {
  test('stays stopped, in a pause too', async () => {
    const namespace = await newNamespace();
    const remove = bench.proxy.fault({
      match: new RegExp(`${namespace}/configmaps`),
      times: 1e9,
      answer: { status: 500 },
    });
    const { reflector, log } = follow(namespace, { timings: { backoffMinMs: 60_000, backoffMaxMs: 60_000 } });
    await eventually('it pauses', () => log.lines.length > 0);

    await reflector.stop();
    remove();

    expect(requests(namespace, 'list')).toHaveLength(1);
    expect(log.lines).toHaveLength(1);
  });

  test('gives up a list that hangs, and says nothing of it', async () => {
    const namespace = await newNamespace();
    bench.proxy.fault({ match: new RegExp(`${namespace}/configmaps`), delayMs: 5_000 });
    const { reflector, log, changes } = follow(namespace);
    await eventually('the list is asked for', () => requests(namespace, 'list').length === 1);

    await reflector.stop();
    await put(namespace, 'a', '1');

    expect(log.lines).toEqual([]);
    expect(changes).toEqual([]);
    expect(reflector.synced()).toBe(false);
  });

  test('tells no change any more', async () => {
    const namespace = await newNamespace();
    const { reflector, changes, complete } = follow(namespace);
    await put(namespace, 'a', '1');
    await complete();
    await reflector.stop();

    await put(namespace, 'b', '1');
    const witness = follow(namespace);
    await witness.complete();
    expect(changes.map(({ key }) => key)).toEqual([`${namespace}/a`]);
  });
});
