import type { Limits } from '../pool.ts';
import { fullInMs, MINUTE_MS, remainingTokens } from './bucket.ts';
import { type LimitDeps, type LimitState, type Meter, metersOf } from './limits.ts';

/**
 * The headers `rateHeaders` writes, in lower case. An answer that has one of ours has none of the upstream's: those
 * tell of the key that Sluice called it with.
 */
export const RATE_HEADER_NAMES: readonly string[] = [
  'x-ratelimit-limit-requests',
  'x-ratelimit-remaining-requests',
  'x-ratelimit-reset-requests',
  'x-ratelimit-limit-tokens',
  'x-ratelimit-remaining-tokens',
  'x-ratelimit-reset-tokens',
];

interface Reading {
  readonly limit: number;
  readonly remaining: number;
  readonly resetMs: number;
}

/**
 * OpenAI's rate-limit headers, flat, for the limits that apply; for an answer as for a refusal. Of the pool's limit and
 * the client's the scarcer one is shown: this proxy's share of it, what is left of that, and the time until it is full.
 */
export function rateHeaders(state: LimitState, limits: Limits, client: string, deps: LimitDeps): string[] {
  const now = deps.now();
  const meters = metersOf(state, limits, client);
  const headers: string[] = [];
  for (const what of ['requests', 'tokens'] as const) {
    let scarcest: Reading | undefined;
    for (const meter of meters) {
      if (meter.what === what) scarcest = scarcer(scarcest, read(meter, now, deps.shareOf));
    }
    if (scarcest === undefined) continue;
    headers.push(`x-ratelimit-limit-${what}`, String(scarcest.limit));
    headers.push(`x-ratelimit-remaining-${what}`, String(scarcest.remaining));
    headers.push(`x-ratelimit-reset-${what}`, durationText(scarcest.resetMs));
  }
  return headers;
}

/** A duration as OpenAI writes it, in whole milliseconds, rounded up: `0s`, `250ms`, `1m12.5s`, `6m0s`, `1h0m0s`. */
export function durationText(durationMs: number): string {
  const ms = Math.ceil(durationMs);
  if (ms === 0) return '0s';
  if (ms < 1000) return `${ms}ms`;
  const seconds = `${(ms % MINUTE_MS) / 1000}s`;
  const minutes = Math.floor(ms / MINUTE_MS);
  if (minutes === 0) return seconds;
  return minutes < 60 ? `${minutes}m${seconds}` : `${Math.floor(minutes / 60)}h${minutes % 60}m${seconds}`;
}

function read({ what, limit, buckets }: Meter, now: number, shareOf: LimitDeps['shareOf']): Reading {
  if (limit === 0) return { limit: 0, remaining: 0, resetMs: MINUTE_MS };
  const share = shareOf(limit);
  const bucket = buckets[what];
  if (bucket === undefined) return { limit: share, remaining: share, resetMs: 0 };
  return { limit: share, remaining: remainingTokens(bucket, share, now), resetMs: fullInMs(bucket, now) };
}

function scarcer(a: Reading | undefined, b: Reading): Reading {
  return a === undefined || b.remaining < a.remaining ? b : a;
}
