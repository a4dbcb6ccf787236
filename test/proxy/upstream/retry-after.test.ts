import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { restMsOf } from '../../../proxy/upstream/retry-after.ts';

const NOW = Date.parse('2026-03-01T12:00:00Z');

function restMs(headers: Record<string, string>): number | undefined {
  return restMsOf(Object.entries(headers).flat(), NOW);
}

describe('how long an upstream asks to be left alone', () => {
  test.each<[Record<string, string>, number | undefined]>([
    [{ 'retry-after': '7' }, 7_000],
    [{ 'retry-after': ' 7 ' }, 7_000],
    [{ 'retry-after': '0.5' }, 500],
    [{ 'retry-after': '0' }, 0],
    [{ 'retry-after': 'Sun, 01 Mar 2026 12:00:30 GMT' }, 30_000],
    [{ 'retry-after': 'Sunday, 01-Mar-26 12:00:30 GMT' }, 30_000],
    [{ 'retry-after': 'Sun Mar  1 12:00:30 2026' }, 30_000],
    [{ 'retry-after-ms': '1250' }, 1_250],
    [{ 'retry-after-ms': '12.5' }, 12.5],
    [{ 'x-ratelimit-reset-requests': '6m0s' }, 360_000],
    [{ 'x-ratelimit-reset-requests': '20ms' }, 20],
    [{ 'x-ratelimit-reset-tokens': '1m12.5s' }, 72_500],
    [{ 'x-ratelimit-reset-tokens': '1d2h3m4s5ms' }, 93_784_005],
    [{ 'x-ratelimit-reset-tokens': '42' }, 42_000],
    [{ 'x-ratelimit-reset-tokens': '7.66s' }, 7_660],
    [{ 'anthropic-ratelimit-requests-reset': '2026-03-01T12:00:09Z' }, 9_000],
    [{ 'anthropic-ratelimit-requests-reset': '2026-03-01T13:00:09.5+01:00' }, 9_500],
  ])('is read from %j', (headers, ms) => {
    expect(restMs(headers)).toBeCloseTo(ms ?? Number.NaN, 6);
  });

  test.each<[Record<string, string>]>([
    [{}],
    [{ date: '7', 'content-type': 'retry-after' }],
    [{ 'retry-after': '' }],
    [{ 'retry-after': '-7' }],
    [{ 'retry-after': '7 minutes' }],
    [{ 'retry-after': '0x10' }],
    [{ 'retry-after': '1e3' }],
    [{ 'retry-after': 'Infinity' }],
    [{ 'retry-after': 'soon 5' }],
    [{ 'retry-after': '2027-03' }],
    [{ 'retry-after': 'May 2027' }],
    [{ 'retry-after': 'Mon, 01 Mar 2027' }],
    [{ 'retry-after': 'Sun, 99 Foo 2026 12:00:30 GMT' }],
    [{ 'retry-after': 'Sun, 01 Mar 2026 11:59:30 GMT' }],
    [{ 'retry-after-ms': 'NaN' }],
    [{ 'x-ratelimit-reset-requests': '6m0' }],
    [{ 'x-ratelimit-reset-requests': 's' }],
    [{ 'x-ratelimit-reset-requests': '5 s' }],
    [{ 'x-ratelimit-remaining-requests': '0' }],
    [{ 'anthropic-ratelimit-requests-reset': 'tomorrow' }],
  ])('is nothing that can be understood in %j', (headers) => {
    expect(restMs(headers)).toBeUndefined();
  });

  test('is what the more exact header says, and the next one where it is garbage', () => {
    const all = { 'x-ratelimit-reset-requests': '3s', 'retry-after': '2', 'retry-after-ms': '1500' };
    expect(restMs(all)).toBe(1_500);
    expect(restMs({ ...all, 'retry-after-ms': 'x' })).toBe(2_000);
    expect(restMs({ ...all, 'retry-after-ms': 'x', 'retry-after': 'x' })).toBe(3_000);
  });

  test('is the reset of the limit that is used up, else the longest', () => {
    const resets = { 'x-ratelimit-reset-requests': '2s', 'x-ratelimit-reset-tokens': '8s' };
    expect(restMs(resets)).toBe(8_000);
    expect(restMs({ ...resets, 'x-ratelimit-remaining-requests': '0' })).toBe(2_000);
    expect(restMs({ ...resets, 'x-ratelimit-remaining-requests': '0', 'x-ratelimit-remaining-tokens': '7' })).toBe(
      2_000,
    );
    expect(restMs({ ...resets, 'x-ratelimit-remaining-requests': '0', 'x-ratelimit-remaining-tokens': '0' })).toBe(
      8_000,
    );
    const anthropic = {
      'anthropic-ratelimit-tokens-reset': '2026-03-01T12:00:05Z',
      'anthropic-ratelimit-requests-reset': '2026-03-01T12:00:50Z',
    };
    expect(restMs(anthropic)).toBe(50_000);
    expect(restMs({ ...anthropic, 'anthropic-ratelimit-tokens-remaining': '0' })).toBe(5_000);
  });

  test('is the same wherever the proxy runs', () => {
    vi.stubEnv('TZ', 'America/New_York');
    onTestFinished(() => void vi.unstubAllEnvs());
    expect(new Date(NOW).getHours()).toBe(7);
    expect(restMs({ 'retry-after': 'Sun Mar  1 12:00:30 2026' })).toBe(30_000);
    expect(restMs({ 'retry-after': 'Sun, 01 Mar 2026 12:00:30 GMT' })).toBe(30_000);
  });

  test('is never looked for in a value', () => {
    expect(restMsOf(['x-a', 'retry-after', '7', 'x-b'], NOW)).toBeUndefined();
  });
});
