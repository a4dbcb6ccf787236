import { describe, expect, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import type { Fault } from '../support/fault-proxy.ts';
import { reflectorBench, watchLine } from './reflector-bench.ts';

const { bench, newNamespace, put, drop, follow, requests, watching } = reflectorBench();
const html = { status: 200, headers: { 'content-type': 'text/html' }, body: '<html>sign in</html>' };

describe('a reflector ends up complete', () => {
  const gone = { kind: 'Status', code: 410, reason: 'Expired', message: 'too old resource version' };
  const fault = { kind: 'Status', code: 500, reason: 'InternalError', message: 'etcd event without object' };
  const past = watchLine('BOOKMARK', { metadata: { resourceVersion: '1' } });
  const list = (rest: string): Omit<Fault, 'match'> => ({
    answer: { status: 200, body: `{"kind":"ConfigMapList",${rest}}` },
  });
  const podList = '{"kind":"PodList","metadata":{"resourceVersion":"1"},"items":[]}';
  const faults: [string, 'list' | 'watch', Omit<Fault, 'match'>][] = [
    ['a watch answered 410', 'watch', { answer: { status: 410 } }],
    ['a watch ended by an ERROR event 410', 'watch', { answer: watchLine('ERROR', gone) }],
    ['a watch ended by another ERROR event', 'watch', { answer: watchLine('ERROR', fault) }],
    ['a watch answered 500', 'watch', { answer: { status: 500 } }],
    ['a watch answered 403', 'watch', { answer: { status: 403 } }],
    ['a watch answered 404', 'watch', { answer: { status: 404 } }],
    ['a watch answered with a page of HTML', 'watch', { answer: html }],
    ['a watch that ends at once', 'watch', { answer: { status: 200 } }],
    ['a watch event that is no JSON', 'watch', { answer: { status: 200, body: '{"type":"ADDED","obj\n' } }],
    ['a watch event of an unknown type', 'watch', { answer: watchLine('SYNC', {}) }],
    ['a watch event without an object', 'watch', { answer: watchLine('ADDED', { metadata: {} }) }],
    ['a resourceVersion that goes back', 'watch', { answer: past }],
    ['a watch cut in the middle of an event', 'watch', { cutAfterBytes: 40 }],
    ['a list answered 410', 'list', { answer: { status: 410 } }],
    ['a list answered 500', 'list', { answer: { status: 500 } }],
    ['a list answered 401', 'list', { answer: { status: 401 } }],
    ['a list answered with a page of HTML', 'list', { answer: html }],
    ['a list of another kind', 'list', { answer: { status: 200, body: podList } }],
    ['a list without a resourceVersion', 'list', list('"metadata":{},"items":[]')],
    ['a list that holds no objects', 'list', list('"metadata":{"resourceVersion":"1"},"items":[7]')],
    ['a list that holds an object without a name', 'list', list('"metadata":{"resourceVersion":"1"},"items":[{}]')],
    ['a list that is null', 'list', { answer: { status: 200, body: 'null' } }],
    ['a list cut in the middle', 'list', { cutAfterBytes: 100 }],
  ];
  test.each(faults)('after %s, three times', async (_name, kind, what) => {
    const namespace = await newNamespace();
    await put(namespace, 'kept', '1');
    await put(namespace, 'deleted', '1');
    const query = kind === 'watch' ? 'configmaps.*watch=true' : 'configmaps\\?(?!.*watch)';
    bench.proxy.fault({ match: new RegExp(`${namespace}/${query}`), times: 3, ...what });

    const { complete } = follow(namespace);
    await put(namespace, 'created', '1');
    await drop(namespace, 'deleted');
    await complete();
    await put(namespace, 'kept', '2');
    await complete();
  });

  test.each([
    ['410', 2, { answer: { status: 410 } }],
    ['an ERROR event 410', 2, { answer: watchLine('ERROR', gone) }],
    ['another ERROR event', 2, { answer: watchLine('ERROR', fault) }],
    ['an ERROR event 429', 1, { answer: watchLine('ERROR', { ...gone, code: 429 }) }],
    ['a page of HTML', 2, { answer: html }],
    ['a resourceVersion that goes back', 2, { answer: past }],
    ['404', 2, { answer: { status: 404 } }],
    ['403', 1, { answer: { status: 403 } }],
    ['500', 1, { answer: { status: 500 } }],
    ['an end at once', 1, { answer: { status: 200 } }],
    ['a cut', 1, { cutAfterBytes: 1 }],
  ])('and after a watch met %s has read %i lists', async (_what, lists, what) => {
    const namespace = await newNamespace();
    bench.proxy.fault({ match: new RegExp(`${namespace}/configmaps.*watch=true`), ...what });
    const { reflector, complete } = follow(namespace);
    await reflector.whenSynced;
    await put(namespace, 'a', '1');
    await complete();
    expect(requests(namespace, 'list')).toHaveLength(lists);
  });

  test('and emits deletions that happened while the watch was refused with 410', async () => {
    const namespace = await newNamespace();
    await put(namespace, 'a', '1');
    const { complete, changes } = follow(namespace);
    await complete();
    const remove = bench.proxy.fault({
      match: new RegExp(`${namespace}/configmaps`),
      times: 1e9,
      answer: { status: 410 },
    });
    bench.proxy.cut();
    await drop(namespace, 'a');
    await eventually('it is refused', () => requests(namespace, 'list').length > 1);
    remove();

    await complete();
    expect(changes.at(-1)).toEqual({ key: `${namespace}/a`, now: undefined, before: expect.anything() });
  });

  test('after all connections were cut, without a new list', async () => {
    const namespace = await newNamespace();
    const { reflector, complete } = follow(namespace, { timings: { watchMinSeconds: 30, watchMaxSeconds: 30 } });
    await reflector.whenSynced;
    await watching(namespace);

    for (const value of ['1', '2', '3']) {
      bench.proxy.cut();
      await put(namespace, 'a', value);
      await put(namespace, `b${value}`, value);
      await complete();
    }
    expect(requests(namespace, 'list')).toHaveLength(1);
  });

  test.each(['existing', 'all'] as const)('after %s connections stalled without a FIN', async (which) => {
    const namespace = await newNamespace();
    await put(namespace, 'a', '1');
    const { complete, log } = follow(namespace);
    await complete();
    await watching(namespace);

    bench.proxy.stall(which);
    const stalledAt = performance.now();
    await put(namespace, 'a', '2');
    await put(namespace, 'b', '1');
    if (which === 'all') {
      await eventually('the stall is noticed', () =>
        log.lines.some(({ fields }) => /half open|no answer/.test(JSON.stringify(fields))),
      );
      bench.proxy.resume();
    }
    // One second of watch, .4 s of grace; with `all` the next watch waits 10 s for its headers.
    await complete(15_000);
    if (which === 'existing') expect(performance.now() - stalledAt).toBeLessThan(3_000);
  });

  test('after a 429, and asks again only when Retry-After says', async () => {
    const namespace = await newNamespace();
    bench.proxy.fault({
      match: new RegExp(`${namespace}/configmaps.*watch=true`),
      answer: { status: 429, headers: { 'retry-after': '2' } },
    });
    const { complete } = follow(namespace);
    await watching(namespace);
    const refusedAt = bench.proxy.seen.at(-1)?.at ?? 0;
    await put(namespace, 'a', '1');
    await complete();

    const next = bench.proxy.seen.filter(({ line }) => line.includes(`${namespace}/configmaps`)).at(-1);
    expect((next?.at ?? 0) - refusedAt).toBeGreaterThan(1_950);
  });

  test.each([410, 429])('and asks at most 10 times a second for one resource while answered %i', async (status) => {
    const namespaces = await Promise.all([1, 2, 3, 4].map(newNamespace));
    const remove = bench.proxy.fault({ match: /configmaps.*watch=true/, times: 1e9, answer: { status } });
    const from = bench.proxy.seen.length;
    const all = namespaces.map((namespace) => follow(namespace));
    await eventually('40 requests', () => bench.proxy.seen.length >= from + 40);
    remove();

    const times = bench.proxy.seen.slice(from).map(({ at }) => at);
    const busiest = Math.max(...times.map((start) => times.filter((at) => at >= start && at < start + 1_000).length));
    // Each reflector may have asked twice (its first list and its first watch) before the first refusal came.
    const later = times.filter((at) => at > (times[8] ?? 0));
    const steady = Math.max(...later.map((start) => later.filter((at) => at >= start && at < start + 1_000).length));
    expect(steady).toBeLessThanOrEqual(10);
    expect(busiest).toBeLessThanOrEqual(18);
    for (const { complete } of all) await complete();
  });

  test('and makes no hot loop of watches that end cleanly at once', async () => {
    const namespace = await newNamespace();
    const remove = bench.proxy.fault({
      match: new RegExp(`${namespace}/configmaps.*watch=true`),
      times: 1e9,
      answer: { status: 200 },
    });
    const { complete, log } = follow(namespace, { timings: { backoffMinMs: 100, backoffMaxMs: 1_000 } });
    const startedAt = performance.now();
    await eventually('five watches', () => requests(namespace, 'watch').length >= 5);
    // .1 + .2 + .4 + .8 s, × .8 at least
    expect(performance.now() - startedAt).toBeGreaterThan(1_150);
    expect(log.lines.filter(({ level }) => level === 'warn')).toHaveLength(1);
    remove();
    await put(namespace, 'a', '1');
    await complete();
  });

  test('after the API server was away, at its start and later', async () => {
    const namespace = await newNamespace();
    await put(namespace, 'a', '1');
    await bench.api.pause();
    const { reflector, complete, log } = follow(namespace);
    await eventually('it fails', () => log.lines.length > 0);
    expect(reflector.synced()).toBe(false);
    await bench.api.restart();
    await complete();

    await bench.api.restart();
    await put(namespace, 'a', '2');
    await complete();
  });
});
