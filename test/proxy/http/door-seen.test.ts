import { describe, expect, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import type { Behaviour } from '../../support/fake-llm.ts';
import { freePort } from '../../support/ports.ts';
import { backend, chat, type Door, errorOf, fakes, httpPost, openDoor, pool, rawClient } from './door.ts';
import { movableClock } from './door-clock.ts';
import { clientKeys, keyed, withKey } from './door-credentials.ts';
import { seriesOf } from './door-series.ts';

const CHAT = '/v1/chat/completions';
const STREAM = chat('chat', { stream: true, stream_options: { include_usage: true } });
/** Every failure is one attempt and one answer. */
const ONE_TRY = { retry: { attempts: 1 }, ejection: { consecutiveFailures: 0, rateLimitedMs: 0 } };

/** A call that goes as `behaviour` says. */
async function callTo(door: Door, behaviour: Behaviour, body: object = chat(), headers = {}): Promise<number> {
  const response = await door.post(CHAT, body, { headers: { 'x-fake': JSON.stringify(behaviour), ...headers } });
  await response.text();
  return response.status;
}

/** Sends a call, and leaves once it is with the upstream. */
async function callAndLeave(door: Door, isThere: () => boolean): Promise<void> {
  const client = await rawClient(door.port);
  client.send(httpPost(CHAT, chat(), 'x-fake: {"delayMs":20000}\r\n'));
  await eventually('the call is there', isThere);
  client.socket.destroy();
}

/** The names of labels of each metric, without those that a histogram adds. */
async function labelsByMetric(door: Door): Promise<Map<string, Set<string>>> {
  const found = new Map<string, Set<string>>();
  for (const line of (await door.metrics()).split('\n')) {
    const [, name, labels = ''] = /^(sluice_[a-z_]+?)(?:_bucket|_sum|_count)?(?:\{(.*)\})? \S+$/.exec(line) ?? [];
    if (name === undefined) continue;
    const names = [...labels.matchAll(/([a-z]+)="/g)].map((match) => match[1] ?? '').filter((label) => label !== 'le');
    found.set(name, new Set([...(found.get(name) ?? []), ...names]));
  }
  return found;
}

describe('what can be seen of calls', () => {
  test('[P-16] per backend: how each of its calls ended, in ten words, how long they took, and its share', async () => {
    const [a] = await fakes('a');
    const door = await openDoor();
    await door.put(
      pool('chat', [backend(a, { weight: 3 }), backend({ name: 'drained', url: a.url }, { weight: 0 })], {
        ...ONE_TRY,
        timeouts: { firstByteMs: 150 },
      }),
      pool('gone', [backend({ name: 'b', url: `http://127.0.0.1:${await freePort()}` })], ONE_TRY),
    );
    const behaviours: [Behaviour, number][] = [
      [{}, 200],
      [{ status: 400 }, 400],
      [{ status: 401 }, 502],
      [{ status: 429 }, 429],
      [{ status: 500 }, 500],
      [{ delayMs: 10_000 }, 502],
      [{ closeBeforeHeaders: true }, 502],
      [{ garbage: true }, 502],
    ];
    for (const [behaviour, status] of behaviours) expect(await callTo(door, behaviour)).toBe(status);
    const calls = a.calls.length;
    await callAndLeave(door, () => a.calls.length > calls);
    expect(await callTo(door, {}, chat('gone'))).toBe(502);
    await expect
      .poll(() => seriesOf(door, 'sluice_attempts_total', { pool: 'ml/chat', backend: 'a', outcome: 'cancelled' }))
      .toBe(1);
    const words = [
      'success',
      'client_error',
      'credential',
      'rate_limited',
      'server_error',
      'timeout',
      'cut',
      'malformed',
    ];
    for (const outcome of words) {
      const labels = { pool: 'ml/chat', backend: 'a', outcome };
      expect(await seriesOf(door, 'sluice_attempts_total', labels), outcome).toBe(1);
    }
    expect(await seriesOf(door, 'sluice_attempts_total', { pool: 'ml/gone', backend: 'b', outcome: 'connect' })).toBe(
      1,
    );
    for (const code of ['200', '400', '429', '500', '499']) {
      expect(await seriesOf(door, 'sluice_requests_total', { pool: 'ml/chat', protocol: 'http', code }), code).toBe(1);
    }
    expect(await seriesOf(door, 'sluice_requests_total', { pool: 'ml/chat', code: '502' })).toBe(4);
    expect(await seriesOf(door, 'sluice_time_to_first_byte_seconds_count', { pool: 'ml/chat' })).toBeGreaterThan(0);
    expect(await seriesOf(door, 'sluice_request_duration_seconds_count', { pool: 'ml/chat' })).toBe(9);
    expect((await door.pool()).endpoints.map(({ share }) => share)).toEqual([1, 0]);
  });

  test('in metrics, each under its name with its labels and no others, as soon as there is something to count', async () => {
    const [a] = await fakes('a');
    const door = await openDoor({ maxBodyBytes: 1 << 20, maxHeldBytes: 64 << 10 });
    const twice = [backend(a), backend({ name: 'again', url: a.url })];
    await door.put(
      pool('chat', [backend(a, { maxConcurrent: 1 })], ONE_TRY),
      pool('tired', twice, { retry: { attempts: 2, budgetPercent: 0 }, ejection: { consecutiveFailures: 0 } }),
    );
    await callTo(door, { chunks: 4, intervalMs: 5 }, STREAM);
    await Promise.all([callTo(door, { delayMs: 30 }), callTo(door, {})]);
    await Promise.all(Array.from({ length: 40 }, () => callTo(door, { status: 500 }, chat('tired'))));
    expect((await door.post(CHAT, chat('chat', { pad: 'x'.repeat(100 << 10) }))).status).toBe(503);
    await door.put(pool('bad', [{ name: 'x', url: 'http://169.254.169.254/' }]));
    const labels = Object.fromEntries(
      [...(await labelsByMetric(door))].map(([name, names]) => [name, [...names].sort()]),
    );
    expect(labels).toMatchObject({
      sluice_requests_total: ['code', 'pool', 'protocol'],
      sluice_request_duration_seconds: ['pool', 'protocol'],
      sluice_time_to_first_byte_seconds: ['pool'],
      sluice_time_per_output_token_seconds: ['pool'],
      sluice_overhead_seconds: ['protocol'],
      sluice_attempts_total: ['backend', 'outcome', 'pool'],
      sluice_in_flight_requests: ['backend', 'pool'],
      sluice_queue_depth: ['pool'],
      sluice_queue_wait_seconds: ['pool'],
      sluice_endpoints: ['backend', 'pool', 'state'],
      sluice_tokens_total: ['pool', 'type'],
      sluice_retry_budget_exhausted_total: ['pool'],
      sluice_shed_total: ['reason'],
      sluice_config_documents: ['state'],
      sluice_config_rejections_total: [],
      sluice_config_apply_seconds: [],
      sluice_config_last_change_timestamp_seconds: [],
      sluice_config_source: ['source'],
    });
    expect(await seriesOf(door, 'sluice_tokens_total', { pool: 'ml/chat', type: 'output' })).toBe(15);
    expect(await seriesOf(door, 'sluice_time_per_output_token_seconds_count', { pool: 'ml/chat' })).toBe(1);
    expect(await seriesOf(door, 'sluice_queue_wait_seconds_count', { pool: 'ml/chat' })).toBe(1);
  });

  test('has no client, no key and no conversation in it, and no model that nobody serves; it goes with its pool', async () => {
    const [a] = await fakes('a');
    const door = await openDoor();
    const documents = [
      pool('chat', [backend(a)], {
        ...{ ...keyed('c1'), affinity: { header: 'x-session-id' } },
        limits: { perClient: { requestsPerMinute: 3 } },
      }),
      clientKeys('chat', 'c1', { 'client-ann': 'SECRET-KEY' }),
    ];
    await door.put(...documents);
    const headers = { ...withKey('SECRET-KEY').headers, 'x-session-id': 'conversation-1' };
    for (let n = 0; n < 4; n += 1) await callTo(door, {}, chat('chat', { user: 'user-ann' }), headers);
    await callTo(door, {}, chat('model-of-nobody'), headers);
    const text = await door.metrics();
    expect(text).toContain('sluice_requests_total{pool="ml/chat",protocol="http",code="429"} 1');
    expect(text).toContain('sluice_requests_total{pool="unknown",protocol="http",code="404"} 1');
    expect(text).not.toMatch(/client-ann|SECRET|conversation-1|user-ann|model-of-nobody/);
    await door.remove(...documents);
    expect(await door.metrics()).not.toContain('ml/chat');
  });

  test('[P-16] [P-20] [P-21] of one call: the trail of its attempts in its line, its backend in the answer, the choice in /explain', async () => {
    const clock = movableClock();
    const [a, b, c] = await fakes('a', 'b', 'c');
    const door = await openDoor();
    await door.put(
      pool('chat', [backend(a), backend(b), backend(c, { tier: 1 })], {
        strategy: 'Failover',
        timeouts: { firstByteMs: 200 },
      }),
    );
    a.behave({ status: 429, retryAfter: '30' });
    b.behave({ delayMs: 10_000 });
    const response = await door.post(CHAT, chat());
    await response.text();
    const header = (name: string): string | null => response.headers.get(name);
    expect([header('x-sluice-backend'), header('x-sluice-attempts'), header('x-sluice-pool')]).toEqual([
      ...['c', '3', 'ml/chat'],
    ]);
    const line = await eventually('its line is there', () => door.log.find((text) => text.includes('"msg":"request"')));
    const { attempts } = JSON.parse(line) as { attempts: { ms: number }[] };
    const at = (port: number): string => `127.0.0.1:${port}`;
    expect(attempts).toMatchObject([
      { backend: 'a', endpoint: at(a.port), outcome: 'rate_limited' },
      { backend: 'b', endpoint: at(b.port), outcome: 'timeout' },
      { backend: 'c', endpoint: at(c.port), outcome: 'success' },
    ]);
    const waitedMs = attempts[1]?.ms ?? 0;
    expect(waitedMs).toBeGreaterThan(190);
    const explained = async (): Promise<object> =>
      (await fetch(`${door.adminUrl}/explain?model=chat`)).json() as Promise<object>;
    expect(await explained()).toMatchObject({
      next: { backend: 'b', tier: 0 },
      tiers: [{ usable: 1, endpoints: [{ state: 'cooling', reason: 'answered 429 or 529' }, { state: 'ready' }] }, {}],
    });
    clock.forward(30_000);
    expect(await explained()).toMatchObject({ next: { backend: 'a' } });
  });

  test('[P-20] of a provider that fails again and again: its state and why, and what its calls came to', async () => {
    const [a, b] = await fakes('a', 'b');
    a.behave({ status: 401 });
    b.behave({ status: 500 });
    const door = await openDoor();
    const rules = { ejection: { consecutiveFailures: 2 }, retry: { attempts: 2, backoffMs: 0 }, strategy: 'Failover' };
    await door.put(pool('chat', [backend(b), backend(a)], rules));
    for (let n = 0; n < 3; n += 1) await (await door.post(CHAT, chat())).text();
    expect(await door.pool()).toMatchObject({
      endpoints: [
        { backend: 'b', state: 'ejected', reason: 'failed several calls in a row' },
        { backend: 'a', state: 'ready' },
      ],
    });
    expect(await seriesOf(door, 'sluice_attempts_total', { backend: 'a', outcome: 'credential' })).toBeGreaterThan(2);
    const error = await errorOf(await door.post(CHAT, chat()));
    expect(error).toMatchObject({ status: 502, code: 'upstream_error' });
    expect(error.message).toContain(`a (127.0.0.1:${a.port}): answered 401`);
  });
});
