import { describe, expect, test } from 'vitest';
import { backend, chat, fakes, httpPost, instance, openDoor, pool, rawClient } from '../http/door.ts';

const CHAT = '/v1/chat/completions';

interface Series {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Reads Prometheus' text format, strictly: a line that is none throws. */
function parse(text: string): { series: Series[]; types: Map<string, string> } {
  const series: Series[] = [];
  const types = new Map<string, string>();
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('# HELP ')) continue;
    const [, typed, type] = /^# TYPE (\S+) (counter|gauge|histogram)$/.exec(line) ?? [];
    if (typed !== undefined && type !== undefined) {
      expect(types.has(typed), `${typed} has two types`).toBe(false);
      types.set(typed, type);
      continue;
    }
    const [, name, labels = '', value] = /^([a-z_:]+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
    if (name === undefined || Number.isNaN(Number(value))) throw new Error(`no line of metrics: ${line}`);
    const pairs = [...labels.matchAll(/([a-z_]+)="((?:[^"\\]|\\.)*)"(?:,|$)/g)];
    expect(pairs.map(([pair]) => pair).join('')).toBe(labels);
    series.push({ name, labels: Object.fromEntries(pairs.map(([, key, text]) => [key, text])), value: Number(value) });
  }
  return { series, types };
}

function expectNoDuplicate(series: readonly Series[]): void {
  const keys = series.map(({ name, labels }) => `${name} ${JSON.stringify(Object.entries(labels).sort())}`);
  expect(keys.filter((key, index) => keys.indexOf(key) !== index)).toEqual([]);
}

/** The value of the one series with these labels. */
function valueIn(series: readonly Series[], name: string, labels: Record<string, string>): number | undefined {
  const found = series.filter(
    (one) => one.name === name && Object.entries(labels).every(([key, value]) => one.labels[key] === value),
  );
  expect(found.length).toBeLessThan(2);
  return found[0]?.value;
}

describe('/metrics', () => {
  test('[M-10] [V-11] tells per backend what its calls came to, how long they took, and who got how many', async () => {
    const [a, b] = await fakes('a', 'b');
    const door = await openDoor();
    await door.put(pool('chat', [backend(a, { weight: 3 }), backend(b)], { retry: { attempts: 1 } }));
    for (let n = 0; n < 8; n += 1) await (await door.post(CHAT, chat())).text();
    b.behave({ status: 429 });
    a.behave({ status: 500 });
    for (let n = 0; n < 4; n += 1) await (await door.post(CHAT, chat())).text();
    const { series, types } = parse(await door.metrics());
    expectNoDuplicate(series);
    const attempts = (backend: string, outcome: string): number | undefined =>
      valueIn(series, 'sluice_attempts_total', { pool: 'ml/chat', backend, outcome });
    expect([attempts('a', 'success'), attempts('b', 'success')]).toEqual([6, 2]);
    expect([attempts('a', 'server_error'), attempts('b', 'rate_limited')]).toEqual([3, 1]);
    const requests = (code: string): number | undefined =>
      valueIn(series, 'sluice_requests_total', { pool: 'ml/chat', protocol: 'http', code });
    expect([requests('200'), requests('500'), requests('429')]).toEqual([8, 3, 1]);
    for (const name of ['sluice_request_duration_seconds', 'sluice_time_to_first_byte_seconds']) {
      expect(types.get(name)).toBe('histogram');
      expect(valueIn(series, `${name}_bucket`, { pool: 'ml/chat', le: '+Inf' })).toBe(
        valueIn(series, `${name}_count`, { pool: 'ml/chat' }),
      );
    }
    expect(valueIn(series, 'sluice_request_duration_seconds_count', { pool: 'ml/chat' })).toBe(12);
    expect(valueIn(series, 'sluice_endpoints', { backend: 'a', state: 'ready' })).toBe(1);
    expect(await door.pool()).toMatchObject({ endpoints: [{ share: 0.75 }, { share: 0.25 }] });
  });

  test('histograms are cumulative, and every bucket is there', async () => {
    const [a] = await fakes('a');
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)]));
    await (await door.post(CHAT, chat())).text();
    const { series } = parse(await door.metrics());
    const buckets = series.filter(({ name }) => name === 'sluice_request_duration_seconds_bucket');
    const values = buckets.map(({ value }) => value);
    expect(values).toEqual([...values].sort((x, y) => x - y));
    expect(buckets.at(-1)?.labels['le']).toBe('+Inf');
  });

  test('what is under way and what waits can be seen', async () => {
    const [a] = await fakes('a');
    a.behave({ delayMs: 300 });
    const door = await openDoor();
    await door.put(pool('chat', [backend(a, { maxConcurrent: 1 })]));
    const answers = [door.post(CHAT, chat()), door.post(CHAT, chat())];
    await expect.poll(async () => (await door.pool()).queue.depth).toBe(1);
    const during = parse(await door.metrics()).series;
    expect(valueIn(during, 'sluice_in_flight_requests', { pool: 'ml/chat', backend: 'a' })).toBe(1);
    expect(valueIn(during, 'sluice_queue_depth', { pool: 'ml/chat' })).toBe(1);
    await Promise.all(answers);
    const after = parse(await door.metrics()).series;
    expect(valueIn(after, 'sluice_in_flight_requests', { pool: 'ml/chat', backend: 'a' })).toBe(0);
    expect(valueIn(after, 'sluice_queue_wait_seconds_count', { pool: 'ml/chat' })).toBe(1);
    expect(valueIn(after, 'sluice_queue_wait_seconds_sum', { pool: 'ml/chat' })).toBeGreaterThan(0.1);
  });

  test('a pool and an instance of one namespace/name make no series twice', async () => {
    const [a] = await fakes('a');
    const door = await openDoor();
    await door.put(
      pool('same', [{ name: 'x', url: a.url }]),
      instance('same', { name: 'x', url: a.url }, { instanceName: 'emb' }),
    );
    await (await door.post('/v1/embeddings', { model: 'same', input: 'x' })).text();
    await (await door.post('/v1/embeddings', { model: 'emb', input: 'x' })).text();
    const { series } = parse(await door.metrics());
    expectNoDuplicate(series);
    expect(valueIn(series, 'sluice_requests_total', { pool: 'ml/same', code: '200' })).toBe(2);
    expect(valueIn(series, 'sluice_request_duration_seconds_count', { pool: 'ml/same' })).toBe(2);
    expect(valueIn(series, 'sluice_endpoints', { pool: 'ml/same', state: 'ready' })).toBe(2);
  });

  test('no client can make series: unknown models, paths and broken requests are all one pool', async () => {
    const door = await openDoor();
    const before = parse(await door.metrics()).series.length;
    for (let n = 0; n < 50; n += 1) {
      await (await door.post(CHAT, chat(`model-${n}`))).text();
      await (await door.post(`/instances/i-${n}/embed`, {})).text();
      await (await door.post(`/nowhere/${n}`, {})).text();
    }
    const { series } = parse(await door.metrics());
    expect(valueIn(series, 'sluice_requests_total', { pool: 'unknown', code: '404' })).toBe(150);
    expect(series.length - before).toBeLessThan(100);
    expect(new Set(series.flatMap(({ labels }) => labels['pool'] ?? []))).toEqual(new Set(['unknown']));
  });

  test('series begin on use and go with their pool', async () => {
    const [a] = await fakes('a');
    const door = await openDoor();
    const document = pool('chat', [backend(a)]);
    await door.put(document);
    expect(await door.metrics()).not.toContain('sluice_requests_total{pool="ml/chat"');
    await (await door.post(CHAT, chat())).text();
    expect(await door.metrics()).toContain('sluice_requests_total{pool="ml/chat"');
    await door.remove(document);
    expect(await door.metrics()).not.toContain('ml/chat');
  });

  test('a client that left is counted as 499, and its attempt as cancelled', async () => {
    const [a] = await fakes('a');
    a.behave({ delayMs: 20_000 });
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)]));
    const client = await rawClient(door.port);
    client.send(httpPost(CHAT, chat()));
    await expect.poll(() => a.calls.length).toBe(1);
    client.socket.destroy();
    await expect
      .poll(async () => door.metrics())
      .toContain('sluice_requests_total{pool="ml/chat",protocol="http",code="499"} 1');
    expect(await door.metrics()).toContain('backend="a",outcome="cancelled"} 1');
  });

  test('configuration can be seen: its source, its documents, what was refused', async () => {
    const [a] = await fakes('a');
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)]), pool('bad', [{ name: 'x', url: 'http://169.254.169.254/' }]));
    const { series } = parse(await door.metrics());
    expect(valueIn(series, 'sluice_config_documents', { state: 'loaded' })).toBe(1);
    expect(valueIn(series, 'sluice_config_documents', { state: 'rejected' })).toBe(1);
    expect(valueIn(series, 'sluice_config_rejections_total', {})).toBe(1);
    expect(valueIn(series, 'sluice_config_source', { source: 'folder' })).toBe(1);
    const changedAt = valueIn(series, 'sluice_config_last_change_timestamp_seconds', {}) ?? 0;
    expect(Math.abs(changedAt - Date.now() / 1000)).toBeLessThan(10);
  });
});
