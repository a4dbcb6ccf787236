import { describe, expect, test } from 'vitest';
import { forwardableRequestHeaders } from '../../../proxy/http/headers.ts';
import { backend, chat, fakes, openDoor, pool } from './door.ts';

const CHAT = '/v1/chat/completions';

test('a Connection header that names thousands costs no more than its length', () => {
  const headers = ['connection', 'ab,'.repeat(2_500), ...Array<string>(2_500).fill('xy')];
  let best = Number.POSITIVE_INFINITY;
  for (let n = 0; n < 5; n += 1) {
    const startedAt = performance.now();
    expect(forwardableRequestHeaders(headers)).toHaveLength(2_502);
    best = Math.min(best, performance.now() - startedAt);
  }
  expect(best).toBeLessThan(10);
});

describe('where a limit of ours applies', () => {
  test.each([
    ['of requests', { pool: { requestsPerMinute: 10 } }, 'requests'],
    ['of tokens', { perClient: { tokensPerMinute: 100_000 } }, 'tokens'],
  ])('%s, nothing is told of those that the upstream has with us', async (_, limits, what) => {
    const [a] = await fakes('a');
    const theirs = Object.fromEntries(
      ['limit', 'remaining', 'reset'].flatMap((part) =>
        ['requests', 'tokens'].map((of) => [`x-ratelimit-${part}-${of}`, '987654']),
      ),
    );
    a.behave({ headers: theirs });
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)], { limits, retry: { attempts: 1 } }));
    const answered = await door.post(CHAT, chat());
    a.behave({ headers: theirs, status: 429 });
    const refused = await door.post(CHAT, chat());
    for (const [status, response] of [[200, answered] as const, [429, refused] as const]) {
      expect(response.status).toBe(status);
      const told = [...response.headers].filter(([name]) => name.startsWith('x-ratelimit-'));
      expect(told.map(([name]) => name)).toEqual([
        `x-ratelimit-limit-${what}`,
        `x-ratelimit-remaining-${what}`,
        `x-ratelimit-reset-${what}`,
      ]);
      expect(told.map(([, value]) => value)).not.toContain('987654');
    }
  });

  test('and none does, the upstream speaks for itself', async () => {
    const [a] = await fakes('a');
    a.behave({ headers: { 'x-ratelimit-remaining-tokens': '5' } });
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)]));
    expect((await door.post(CHAT, chat())).headers.get('x-ratelimit-remaining-tokens')).toBe('5');
  });
});
