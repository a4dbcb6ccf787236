import { count, observe, type PoolSeries } from '../metrics/series.ts';
import { accessLine } from './access-log.ts';
import { timePerOutputTokenSeconds } from './answer/usage.ts';
import type { Exchange } from './exchange.ts';

/** nginx's number for a client that closed before it had an answer: no answer of ours has it. */
const CLIENT_CLOSED = 499;

/** Counts a request that is over, and gives its access line. */
export function record(exchange: Exchange, series: PoolSeries, endedAt: number): string {
  const { res, startedAt, firstByteAt, isServed, usage } = exchange;
  const status = res.headersSent ? res.statusCode : CLIENT_CLOSED;
  count(series.requests, String(status));
  observe(series.durationSeconds, (endedAt - startedAt) / 1000);
  if (isServed) observe(series.firstByteSeconds, (firstByteAt - startedAt) / 1000);
  if (usage !== undefined) {
    count(series.tokens, 'input', usage.inputTokens);
    count(series.tokens, 'output', usage.outputTokens);
    const perToken = exchange.isStream ? timePerOutputTokenSeconds(usage, firstByteAt, endedAt) : undefined;
    if (perToken !== undefined) observe(series.perTokenSeconds, perToken);
  }
  return accessLine(exchange, status, endedAt, Date.now());
}
