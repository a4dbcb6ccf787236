import { expect, test } from 'vitest';
import { duration, parseDuration } from '../../crds/duration.ts';

test.each([
  ['0s', 0],
  ['0h0m', 0],
  ['1ms', 1],
  ['250ms', 250],
  ['1.5s', 1_500],
  ['1m30s', 90_000],
  ['30s1m', 90_000],
  ['0.25h', 900_000],
  ['23h59m60s', 86_400_000],
  ['1.4ms', 1],
  ['1.5ms', 2],
])('%s is %i milliseconds', (text, ms) => {
  expect(parseDuration(text)).toBe(ms);
  expect(duration.safeParse(text).success).toBe(true);
});

test.each(['', '5', 's', '5 s', '-5s', '+5s', '.5s', '5.s', '1d', '5S', '1h-5m', '5s\n', '1us', '1.0001s', '1e3s'])(
  '%j is no duration, and the message quotes it',
  (text) => {
    expect(() => parseDuration(text)).toThrow(JSON.stringify(text));
    expect(duration.safeParse(text).success).toBe(false);
  },
);

test.each(['0.999ms', '24h1ms', '24h0.001ms', '25h', '99999999h'])('a CR may not say %s', (text) => {
  expect(duration.safeParse(text).error?.issues).toMatchObject([{ message: 'must be 0s, or between 1ms and 24h' }]);
});
