import { describe, expect, test } from 'vitest';
import { backend, chat, type Door, errorOf, fakes, openDoor, pool } from './door.ts';
import { movableClock } from './door-clock.ts';
import { withKey } from './door-credentials.ts';

const CHAT = '/v1/chat/completions';
const USAGE_OF_A_CALL = 8;

interface Told {
  readonly status: number;
  readonly limit: string | null;
  readonly remaining: string | null;
  readonly reset: string | null;
}

/** What an answer says of `requests` or `tokens`; the answer is read to its end. */
async function toldBy(response: Response, what: 'requests' | 'tokens'): Promise<Told> {
  await response.text();
  const header = (part: string): string | null => response.headers.get(`x-ratelimit-${part}-${what}`);
  return { status: response.status, limit: header('limit'), remaining: header('remaining'), reset: header('reset') };
}

async function statusOf(answer: Promise<Response>): Promise<number> {
  const response = await answer;
  await response.text();
  return response.status;
}

/** What is left of the tokens a minute, as a refused or a served call of next to nothing is told. */
async function tokensLeft(door: Door): Promise<number> {
  return Number((await toldBy(await door.post(CHAT, chat()), 'tokens')).remaining);
}

describe('requests a minute', () => {
  test('of a pool are let in up to the limit, each answer says what is left, and Retry-After holds', async () => {
    const clock = movableClock();
    const [a] = await fakes('a');
    // What it says is of the key that it was called with.
    a.behave({ headers: { 'x-ratelimit-remaining-requests': '9999', 'x-ratelimit-limit-tokens': '9999' } });
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)], { limits: { pool: { requestsPerMinute: 3 } } }));
    const told: Told[] = [];
    for (let n = 0; n < 3; n += 1) told.push(await toldBy(await door.post(CHAT, chat()), 'requests'));
    expect(told.map(({ status, limit, remaining }) => [status, limit, remaining])).toEqual([
      [200, '3', '2'],
      [200, '3', '1'],
      [200, '3', '0'],
    ]);
    expect(told[2]?.reset).toMatch(/^(59(\.\d+)?s|1m0s)$/);
    const refused = await door.post(CHAT, chat());
    expect(refused.headers.get('x-ratelimit-limit-requests')).toBe('3');
    expect(refused.headers.get('x-ratelimit-remaining-requests')).toBe('0');
    const error = await errorOf(refused);
    expect(error).toMatchObject({ status: 429, code: 'rate_limit_exceeded', type: 'rate_limit_error' });
    expect(error.retryAfter).toBe('20');
    expect(a.calls).toHaveLength(3);
    clock.forward(18_000);
    expect(await statusOf(door.post(CHAT, chat()))).toBe(429);
    clock.forward(2_000);
    expect(await statusOf(door.post(CHAT, chat()))).toBe(200);
    expect(await statusOf(door.post(CHAT, chat()))).toBe(429);
  });

  test('of a client are its own: what one has used up, another has', async () => {
    const [a] = await fakes('a');
    const door = await openDoor();
    await door.put(
      pool('chat', [backend(a)], { limits: { pool: { requestsPerMinute: 5 }, perClient: { requestsPerMinute: 2 } } }),
    );
    const by = (key: string): Promise<number> => statusOf(door.post(CHAT, chat(), withKey(key)));
    expect([await by('ann'), await by('ann'), await by('ann')]).toEqual([200, 200, 429]);
    expect([await by('bob'), await by('bob'), await by('bob')]).toEqual([200, 200, 429]);
    expect([await by('cid'), await by('cid')], 'the pool has one left').toEqual([200, 429]);
    const error = await errorOf(await door.post(CHAT, chat(), withKey('ann')));
    expect(error.message).toContain("this client's limit is 2 requests per minute");
    expect(a.calls).toHaveLength(5);
  });

  test('outlive an edit of the pool', async () => {
    const [a, b] = await fakes('a', 'b');
    const door = await openDoor();
    const limits = { limits: { pool: { requestsPerMinute: 2 } } };
    await door.put(pool('chat', [backend(a)], limits));
    for (let n = 0; n < 2; n += 1) expect(await statusOf(door.post(CHAT, chat()))).toBe(200);
    await door.put(pool('chat', [backend(a), backend(b)], limits));
    expect(await statusOf(door.post(CHAT, chat()))).toBe(429);
  });

  test('are not told of where there is no limit, and then the upstream’s own words pass', async () => {
    const [a] = await fakes('a');
    a.behave({ headers: { 'x-ratelimit-remaining-requests': '9999' } });
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)]));
    expect(await toldBy(await door.post(CHAT, chat()), 'requests')).toMatchObject({ remaining: '9999', limit: null });
  });
});

describe('tokens a minute', () => {
  test.each([
    ['a unary answer', chat('chat', { max_tokens: 900 })],
    [
      'the last event of a stream',
      chat('chat', { max_tokens: 900, stream: true, stream_options: { include_usage: true } }),
    ],
  ])('are reserved by max_tokens while a call is under way, and settled by the usage of %s', async (_, body) => {
    const [a] = await fakes('a');
    a.behaveNext({ delayMs: 300, intervalMs: 20 });
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)], { limits: { pool: { tokensPerMinute: 1000 } } }));
    const first = door.post(CHAT, body);
    await expect.poll(() => a.calls.length).toBe(1);
    const refused = await door.post(CHAT, body);
    expect(Number(refused.headers.get('x-ratelimit-remaining-tokens'))).toBeLessThan(100);
    const error = await errorOf(refused);
    expect(error).toMatchObject({ status: 429, code: 'rate_limit_exceeded' });
    expect(error.message).toContain("the pool's limit is 1000 tokens per minute");
    expect(Number(error.retryAfter)).toBeGreaterThan(40);
    const told = await toldBy(await first, 'tokens');
    expect(told).toMatchObject({ status: 200, limit: '1000' });
    const small = Math.ceil(JSON.stringify(chat()).length / 4);
    const left = await tokensLeft(door);
    // Some come back while the test runs: 16 a second.
    expect(left).toBeGreaterThanOrEqual(1000 - USAGE_OF_A_CALL - small);
    expect(left).toBeLessThan(1000 - small);
    expect(await statusOf(door.post(CHAT, body))).toBe(200);
  });

  test('stay reserved where a stream says nothing of usage', async () => {
    const [a] = await fakes('a');
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)], { limits: { pool: { tokensPerMinute: 1000 } } }));
    const body = chat('chat', { max_tokens: 900, stream: true });
    expect(await statusOf(door.post(CHAT, body))).toBe(200);
    expect(await statusOf(door.post(CHAT, body))).toBe(429);
  });

  test('beyond what was reserved are charged after: the next call waits for them', async () => {
    const [a] = await fakes('a');
    const usage = { prompt_tokens: 100, completion_tokens: 1900, total_tokens: 2000 };
    a.behaveNext({ body: JSON.stringify({ id: 'x', object: 'chat.completion', choices: [], usage }) });
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)], { limits: { pool: { tokensPerMinute: 1000 } } }));
    expect(await statusOf(door.post(CHAT, chat()))).toBe(200);
    const error = await errorOf(await door.post(CHAT, chat()));
    expect(error.status).toBe(429);
    expect(Number(error.retryAfter)).toBeGreaterThan(58);
  });

  test.each([
    ['fails with 500', { status: 500 }],
    ['is rate limited', { status: 429 }],
    ['refuses our key', { status: 401 }],
    ['is cut', { closeBeforeHeaders: true }],
    ['calls the request wrong', { status: 400 }],
  ])('come back where no upstream served the call: it %s', async (_, behaviour) => {
    const [a] = await fakes('a');
    a.behaveNext(behaviour);
    const door = await openDoor();
    const rules = { retry: { attempts: 1 }, ejection: { rateLimitedMs: 0 } };
    await door.put(
      pool('chat', [backend(a)], { ...rules, limits: { pool: { tokensPerMinute: 1000, requestsPerMinute: 9 } } }),
    );
    expect(await statusOf(door.post(CHAT, chat('chat', { max_tokens: 900 })))).toBeGreaterThanOrEqual(400);
    const response = await door.post(CHAT, chat('chat', { max_tokens: 900 }));
    expect(response.headers.get('x-ratelimit-remaining-requests'), 'the request stays counted').toBe('7');
    expect(await toldBy(response, 'tokens')).toMatchObject({ status: 200 });
  });
});
