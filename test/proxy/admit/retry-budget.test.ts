import { describe, expect, test } from 'vitest';
import { createRetryBudget, mayRetry, noteRequest, type RetryBudget } from '../../../proxy/admit/retry-budget.ts';

function requests(budget: RetryBudget, count: number, now: number): void {
  for (let n = 0; n < count; n += 1) noteRequest(budget, now);
}

/** How many of so many retries are allowed. */
function retries(budget: RetryBudget, asked: number, now: number, percent = 20): number {
  let allowed = 0;
  for (let n = 0; n < asked; n += 1) if (mayRetry(budget, percent, now)) allowed += 1;
  return allowed;
}

describe('the retry budget of a pool', () => {
  test('always allows ten retries in a second, and ten more in the next', () => {
    const budget = createRetryBudget();
    requests(budget, 1, 5_000);
    expect(retries(budget, 50, 5_000)).toBe(10);
    expect(retries(budget, 50, 5_999)).toBe(0);
    expect(retries(budget, 50, 6_000)).toBe(10);
  });

  test.each([
    { percent: 20, allowed: 200 },
    { percent: 50, allowed: 500 },
    { percent: 0, allowed: 10 },
  ])('allows $allowed retries to 1000 requests at $percent percent', ({ percent, allowed }) => {
    const budget = createRetryBudget();
    requests(budget, 1000, 5_000);
    expect(retries(budget, 2000, 5_000, percent)).toBe(allowed);
  });

  test('counts the requests and retries of the last ten seconds, and no others', () => {
    const budget = createRetryBudget();
    requests(budget, 1000, 20_000);
    expect(retries(budget, 150, 20_000)).toBe(150);
    // Nine seconds later both still count, ten seconds later neither does.
    expect(retries(budget, 300, 29_999)).toBe(50);
    expect(retries(budget, 300, 30_000)).toBe(10);
    requests(budget, 1000, 30_000);
    expect(retries(budget, 300, 30_000)).toBe(200 - 50 - 10);
  });

  test('forgets all after a long silence', () => {
    const budget = createRetryBudget();
    requests(budget, 100_000, 1_000);
    expect(retries(budget, 50, 3_600_000)).toBe(10);
  });
});
