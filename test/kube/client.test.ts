import { describe, expect, test } from 'vitest';
import { openClient } from '../../kube/client.ts';
import { eventually } from '../support/eventually.ts';
import { CONFIG_MAPS, clientBench, failure } from './client-bench.ts';

const bench = clientBench();

describe('a call', () => {
  test('sends and takes JSON', async () => {
    const body = { metadata: { name: 'sent' }, data: { text: 'ü € "' } };
    await bench.client.call({ method: 'POST', path: CONFIG_MAPS, body });
    const read = await bench.client.call({ path: `${CONFIG_MAPS}/sent` });
    expect(read['data']).toEqual(body.data);
  });

  test('takes a body of 30 MB', async () => {
    const data = { big: 'x'.repeat(1_000_000) };
    for (let n = 0; n < 30; n++) {
      await bench.client.call({ method: 'POST', path: CONFIG_MAPS, body: { metadata: { name: `big-${n}` }, data } });
    }
    const list = await bench.client.call<{ items: unknown[] }>({ path: CONFIG_MAPS });
    expect(list.items.length).toBeGreaterThanOrEqual(30);
    await bench.client.call({ method: 'DELETE', path: CONFIG_MAPS });
  });

  test("fails with the API server's status, reason and words, and names the call", async () => {
    const error = await failure(bench.client.call({ path: `${CONFIG_MAPS}/none` }));
    expect({ ...error }).toEqual({ name: 'ApiError', status: 404, reason: 'NotFound', retryAfterMs: undefined });
    expect(error.message).toBe(`GET ${CONFIG_MAPS}/none: configmaps "none" not found`);
  });

  test.each([
    ['the header', { status: 429, headers: { 'retry-after': '7' }, body: '{}' }, 7_000],
    ['the Status', { status: 503, body: '{"details":{"retryAfterSeconds":3}}' }, 3_000],
    ['neither', { status: 429, headers: { 'retry-after': 'soon' } }, undefined],
  ])('tells how long to wait by %s', async (_by, answer, expected) => {
    bench.proxy.fault({ match: /retry-after/, answer });
    const error = await failure(bench.client.call({ path: `${CONFIG_MAPS}/retry-after` }));
    expect([error.status, error.retryAfterMs]).toEqual([answer.status, expected]);
  });

  test.each([
    ['a page of HTML', '<html>sEcReT</html>'],
    ['nothing', ''],
    ['half an object', '{"data":{"key":"sEcReT'],
  ])('fails clearly, and shows nothing of the body, when it is answered with %s', async (_what, body) => {
    bench.proxy.fault({ match: /wrong/, answer: { status: 200, headers: { 'content-type': 'text/html' }, body } });
    const error = await failure(bench.client.call({ path: `${CONFIG_MAPS}/wrong` }));
    expect([error.status, error.reason]).toEqual([0, 'InvalidBody']);
    expect(error.message).toBe(`GET ${CONFIG_MAPS}/wrong: the answer is not JSON (text/html, ${body.length} bytes)`);
  });

  test('fails with the status when an error comes as a page of HTML', async () => {
    bench.proxy.fault({ match: /gateway/, answer: { status: 502, body: '<html>sEcReT</html>' } });
    const error = await failure(bench.client.call({ path: `${CONFIG_MAPS}/gateway` }));
    expect([error.status, error.reason]).toEqual([502, 'HTTP502']);
    expect(error.message).toBe(`GET ${CONFIG_MAPS}/gateway: answered 502 without a Status body`);
  });

  test('ends at its timeout, before the headers and in the middle of the body', async () => {
    bench.proxy.fault({ match: /configmaps/, delayMs: 1_000 });
    const late = await failure(bench.client.call({ path: CONFIG_MAPS, timeoutMs: 100 }));
    expect([late.reason, late.message]).toEqual(['Timeout', `GET ${CONFIG_MAPS}: no answer within 100 ms`]);

    // A watch is a body that does not end.
    const endless = bench.client.call({ path: CONFIG_MAPS, query: { watch: 'true' }, timeoutMs: 200 });
    expect((await failure(endless)).reason).toBe('Timeout');
  });

  test('ends at its timeout, and when it is aborted, while its connection is being made', async () => {
    bench.proxy.stall('all');
    const startedAt = performance.now();
    expect((await failure(bench.client.call({ path: CONFIG_MAPS, timeoutMs: 100 }))).reason).toBe('Timeout');
    const aborting = new AbortController();
    const call = failure(bench.client.open({ path: CONFIG_MAPS, signal: aborting.signal }));
    aborting.abort();
    expect((await call).reason).toBe('Aborted');
    expect(performance.now() - startedAt).toBeLessThan(1_000);
    bench.proxy.resume();
  });

  test('ends when its signal is aborted, also one that was before', async () => {
    const aborting = new AbortController();
    const call = bench.client.call({ path: CONFIG_MAPS, query: { watch: 'true' }, signal: aborting.signal });
    aborting.abort();
    expect((await failure(call)).reason).toBe('Aborted');
    const from = bench.proxy.seen.length;
    const again = await failure(bench.client.call({ path: CONFIG_MAPS, signal: aborting.signal }));
    expect(again.reason).toBe('Aborted');
    expect(bench.proxy.seen.length).toBe(from);
  });

  test('fails when its connection is cut, and the next one goes on a new connection', async () => {
    bench.proxy.fault({ match: /configmaps/, delayMs: 60_000 });
    const from = bench.proxy.seen.length;
    const call = failure(bench.client.call({ path: CONFIG_MAPS }));
    await eventually('the call arrives', () => bench.proxy.seen.length > from);
    bench.proxy.cut();
    const error = await call;
    expect([error.status, error.reason]).toEqual([0, 'Unreachable']);
    await bench.client.call({ path: CONFIG_MAPS });
  });

  test('uses no idle connection again once one turned out to be half open', async () => {
    await Promise.all([1, 2, 3, 4].map(() => bench.client.call({ path: CONFIG_MAPS })));
    bench.proxy.stall('existing');
    expect((await failure(bench.client.call({ path: CONFIG_MAPS, timeoutMs: 1_200 }))).reason).toBe('Timeout');
    for (let n = 0; n < 3; n++) await bench.client.call({ path: CONFIG_MAPS, timeoutMs: 1_200 });
  });

  test('uses a connection again: a hundred calls in a row need two at most', async () => {
    const client = await openClient({ kubeconfig: bench.kubeconfig, env: {} });
    const before = bench.proxy.accepted();
    for (let n = 0; n < 100; n++) await client.call({ path: CONFIG_MAPS, query: { limit: '1' } });
    // A call that follows at once may come before undici has taken the last one's connection back.
    expect(bench.proxy.accepted() - before).toBeLessThanOrEqual(2);
    await client.close();
  });
});

describe('an open call', () => {
  test('gives the body as it comes until it is destroyed', async () => {
    const stream = await bench.client.open({ path: CONFIG_MAPS, query: { watch: 'true' } });
    await bench.api.call('POST', CONFIG_MAPS, { metadata: { name: 'watched' } });
    for await (const chunk of stream.body) {
      if (chunk.toString().includes('"watched"')) break;
    }
    stream.destroy();
  });

  test('ends when its signal is aborted', async () => {
    const aborting = new AbortController();
    const stream = await bench.client.open({ path: CONFIG_MAPS, query: { watch: 'true' }, signal: aborting.signal });
    const reading = (async () => {
      for await (const chunk of stream.body) chunk.toString();
    })();
    aborting.abort();
    await expect(reading).rejects.toThrow();
  });

  test('lasts longer than the timeout of its headers', async () => {
    const stream = await bench.client.open({
      path: CONFIG_MAPS,
      query: { watch: 'true', timeoutSeconds: '1' },
      timeoutMs: 300,
    });
    const startedAt = performance.now();
    for await (const chunk of stream.body) chunk.toString();
    expect(performance.now() - startedAt).toBeGreaterThan(600);
  });

  test("fails as a call does, with the API server's words", async () => {
    const error = await failure(bench.client.open({ path: '/api/v1/nothing', query: { watch: 'true' } }));
    expect([error.status, error.reason]).toEqual([404, 'NotFound']);
  });
});
