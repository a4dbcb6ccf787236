import type { Exchange } from './exchange.ts';

/**
 * The one line of a request, as JSON. Built by hand: only what a client chose is quoted with care, and nothing of a
 * body, a header or a key is in it.
 */
export function accessLine(exchange: Exchange, status: number, endedAt: number, nowMs: number): string {
  const { req, trail, firstByteAt, startedAt } = exchange;
  let line =
    `{"level":"info","time":${nowMs},"msg":"request","id":${JSON.stringify(exchange.id)}` +
    `,"method":"${req.method ?? ''}","path":${JSON.stringify(pathOnly(req.url ?? ''))},"status":${status}` +
    `,"ms":${(endedAt - startedAt).toFixed(2)}`;
  if (exchange.model !== '') line += `,"model":${JSON.stringify(exchange.model.slice(0, MAX_LOGGED))}`;
  if (exchange.pool !== '') line += `,"pool":"${exchange.pool}"`;
  if (firstByteAt > 0) line += `,"firstByteMs":${(firstByteAt - startedAt).toFixed(2)}`;
  if (exchange.queueMs > 0) line += `,"queueMs":${exchange.queueMs.toFixed(2)}`;
  if (exchange.errorCode !== '') line += `,"error":"${exchange.errorCode}"`;
  if (trail.length > 0) line += `,"attempts":[${trail.map(attemptText).join(',')}]`;
  return `${line}}\n`;
}

/** A query can carry keys. */
function pathOnly(url: string): string {
  const end = url.indexOf('?');
  return (end === -1 ? url : url.slice(0, end)).slice(0, MAX_LOGGED);
}

function attemptText(record: Exchange['trail'][number]): string {
  const { backend, address, outcome, ms } = record;
  return `{"backend":"${backend}","endpoint":"${address}","outcome":"${outcome}","ms":${ms.toFixed(2)}}`;
}

const MAX_LOGGED = 256;
