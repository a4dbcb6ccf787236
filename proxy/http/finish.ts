import { refund, settle } from '../admit/limits.ts';
import { stopAlarm } from '../alarm.ts';
import { ProxyError } from '../errors.ts';
import { observe } from '../metrics/series.ts';
import { releaseBody } from './body.ts';
import { dropRest } from './drop-rest.ts';
import type { Exchange } from './exchange.ts';
import type { HttpDeps } from './handle.ts';
import { record } from './record.ts';
import { sendError } from './respond.ts';

/** Weight of the newest request in the mean of all. */
const MEAN_OF_LATE = 64;

/** Ends a request: answers with the error where there is one, gives back what it held, counts it, logs its line. */
export function finish(deps: HttpDeps, exchange: Exchange, error: unknown): void {
  if (exchange.isOver) return;
  exchange.isOver = true;
  if (error !== undefined) {
    if (!(error instanceof ProxyError)) deps.logError(error, exchange.id);
    sendError(exchange, error);
  }
  stopAlarm(exchange.alarm);
  releaseBody(exchange, deps.held);
  dropRest(exchange.req, deps.limits.times.restMs);
  const now = deps.now();
  const { held } = deps;
  held.meanSeconds += ((now - exchange.startedAt) / 1000 - held.meanSeconds) / MEAN_OF_LATE;
  const { grant, usage } = exchange;
  if (grant !== undefined && !costTokens(exchange)) refund(grant, now);
  else if (grant !== undefined) settle(grant, usage?.totalTokens, now);
  if (exchange.attempts > 0) observe(deps.series.overheadSeconds, exchange.overheadMs / 1000);
  deps.logLine(record(exchange, exchange.series ?? deps.series.unknown, now));
}

/** An upstream that refused the request as wrong answered it, but spent nothing on it. */
function costTokens({ isServed, usage, res }: Exchange): boolean {
  return isServed && (usage !== undefined || res.statusCode < 400);
}
