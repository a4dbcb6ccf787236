import { describe, expect, test } from 'vitest';
import { admitByLimits, createLimitState, type Grant, refund } from '../../../proxy/admit/limits.ts';
import { durationText, RATE_HEADER_NAMES, rateHeaders } from '../../../proxy/admit/rate-headers.ts';
import type { Limits } from '../../../proxy/pool.ts';

const CLOCK = { now: 0 };
const DEPS = { now: () => CLOCK.now, shareOf: (limit: number) => limit };

/** The headers for `ann` after these requests at 0, of so many tokens each. */
function headersAfter(
  limits: Limits,
  requests: readonly [string, number][],
  now = 0,
  deps = DEPS,
): Record<string, string> {
  const state = createLimitState('ml/chat');
  CLOCK.now = 0;
  for (const [client, tokens] of requests) admitByLimits(state, limits, client, tokens, deps);
  CLOCK.now = now;
  return asObject(rateHeaders(state, limits, 'ann', deps));
}

function asObject(flat: readonly string[]): Record<string, string> {
  const headers: Record<string, string> = {};
  for (let n = 0; n < flat.length; n += 2) {
    expect(RATE_HEADER_NAMES).toContain(flat[n]);
    headers[String(flat[n]).replace('x-ratelimit-', '')] = String(flat[n + 1]);
  }
  return headers;
}

describe('rate-limit headers', () => {
  test('tell limit, what is left, and when all is there again', () => {
    const limits = { pool: { requestsPerMinute: 60, tokensPerMinute: 6000 }, perClient: {} };
    expect(headersAfter(limits, [['ann', 150]])).toEqual({
      'limit-requests': '60',
      'remaining-requests': '59',
      'reset-requests': '1s',
      'limit-tokens': '6000',
      'remaining-tokens': '5850',
      'reset-tokens': '1.5s',
    });
  });

  test('are there for the limits that apply, and for those only', () => {
    expect(headersAfter({ pool: {}, perClient: {} }, [['ann', 1]])).toEqual({});
    const requests = headersAfter({ pool: { requestsPerMinute: 60 }, perClient: {} }, [['ann', 1]]);
    expect(Object.keys(requests)).toEqual(['limit-requests', 'remaining-requests', 'reset-requests']);
    const tokens = headersAfter({ pool: {}, perClient: { tokensPerMinute: 60 } }, [['ann', 1]]);
    expect(Object.keys(tokens)).toEqual(['limit-tokens', 'remaining-tokens', 'reset-tokens']);
  });

  test('show the limit of pool and client that is scarcer', () => {
    const limits = { pool: { requestsPerMinute: 4 }, perClient: { requestsPerMinute: 2 } };
    expect(headersAfter(limits, [['ann', 1]])).toMatchObject({ 'limit-requests': '2', 'remaining-requests': '1' });
    const others: [string, number][] = [
      ['bob', 1],
      ['bob', 1],
      ['cid', 1],
    ];
    expect(headersAfter(limits, [['ann', 1], ...others])).toMatchObject({
      'limit-requests': '4',
      'remaining-requests': '0',
    });
  });

  test('tell a client that has not called yet that all is there', () => {
    const limits = { pool: {}, perClient: { requestsPerMinute: 60 } };
    expect(headersAfter(limits, [])).toEqual({
      'limit-requests': '60',
      'remaining-requests': '60',
      'reset-requests': '0s',
    });
  });

  test('are whole and never below 0, also where more was used than there is', () => {
    const limits = { pool: { tokensPerMinute: 100 }, perClient: {} };
    expect(headersAfter(limits, [['ann', 5000]], 10)).toEqual({
      'limit-tokens': '100',
      'remaining-tokens': '0',
      'reset-tokens': '59.99s',
    });
    expect(headersAfter(limits, [['ann', 5000]], 29_999)).toMatchObject({ 'remaining-tokens': '49' });
  });

  test('of a limit of 0 say that nothing is left', () => {
    const limits = { pool: { requestsPerMinute: 0 }, perClient: { requestsPerMinute: 5 } };
    expect(headersAfter(limits, [])).toEqual({
      'limit-requests': '0',
      'remaining-requests': '0',
      'reset-requests': '1m0s',
    });
  });

  test('tell of this proxy’s share', () => {
    const limits = { pool: { requestsPerMinute: 60 }, perClient: {} };
    const deps = { ...DEPS, shareOf: (limit: number) => limit / 2 };
    expect(headersAfter(limits, [['ann', 1]], 0, deps)).toMatchObject({
      'limit-requests': '30',
      'remaining-requests': '29',
    });
  });

  test('follow what is settled, and change nothing', () => {
    const state = createLimitState('ml/chat');
    const limits = { pool: { tokensPerMinute: 100 }, perClient: { requestsPerMinute: 5 } };
    CLOCK.now = 0;
    const grant = admitByLimits(state, limits, 'ann', 40, DEPS) as Grant;
    const left = (client: string) => asObject(rateHeaders(state, limits, client, DEPS))['remaining-tokens'];
    expect([left('ann'), left('bob'), left('ann')]).toEqual(['60', '60', '60']);
    refund(grant, 0);
    expect(left('ann')).toBe('100');
    expect([...state.clients.keys()]).toEqual(['ann']);
  });

  test.each([
    [0, '0s'],
    [0.2, '1ms'],
    [250, '250ms'],
    [999.5, '1s'],
    [1000, '1s'],
    [59_999, '59.999s'],
    [60_000, '1m0s'],
    [72_500, '1m12.5s'],
    [360_000, '6m0s'],
    [3_600_000, '1h0m0s'],
    [3_661_050, '1h1m1.05s'],
  ])('write %d ms as %s', (ms, text) => {
    expect(durationText(ms)).toBe(text);
  });
});
