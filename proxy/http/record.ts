import { count, observe, type PoolSeries } from '../metrics/series.ts';
import { accessLine } from './access-log.ts';
import type { Exchange } from './exchange.ts';

/** nginx's number for a client that closed before it had an answer: no answer of ours has it. */
const CLIENT_CLOSED = 499;

/** Counts a request that is over, and gives its access line. */
export function record(exchange: Exchange, series: PoolSeries): string {
  const { res, startedAt, firstByteAt } = exchange;
  const endedAt = performance.now();
  const status = res.headersSent ? res.statusCode : CLIENT_CLOSED;
  count(series.requests, String(status));
  observe(series.durationSeconds, (endedAt - startedAt) / 1000);
  if (firstByteAt > 0) observe(series.firstByteSeconds, (firstByteAt - startedAt) / 1000);
  return accessLine(exchange, status, endedAt, Date.now());
}
