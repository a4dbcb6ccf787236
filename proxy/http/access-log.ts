import type { AttemptRecord, Exchange } from './exchange.ts';

/**
 * The one line of a request, as JSON. Built by hand: only what a client chose is quoted with care (an id is
 * harmless, or not the client's), and nothing of a
 * body, a header or a key is in it.
 */
export function accessLine(exchange: Exchange, status: number, endedAt: number, nowMs: number): string {
  const { req, trail, firstByteAt, isServed, startedAt } = exchange;
  let line =
    `{"level":"info","time":"${isoTime(nowMs)}","program":"proxy","msg":"request","id":"${exchange.id}"` +
    `,"method":"${req.method ?? ''}","path":${JSON.stringify(pathOnly(req.url ?? ''))},"status":${status}` +
    `,"ms":${msText(endedAt - startedAt)}`;
  if (exchange.model !== '') line += `,"model":${JSON.stringify(exchange.model.slice(0, MAX_LOGGED))}`;
  if (exchange.pool !== '') line += `,"pool":"${exchange.pool}"`;
  if (isServed) line += `,"firstByteMs":${msText(firstByteAt - startedAt)}`;
  if (exchange.queueMs > 0) line += `,"queueMs":${msText(exchange.queueMs)}`;
  if (exchange.errorCode !== '') line += `,"error":"${exchange.errorCode}"`;
  if (trail.length > 0) line += `,"attempts":[${trail.map(attemptText).join(',')}]`;
  return `${line}}`;
}

/** A query can carry keys, and a whole URL in its place a password: that is no path, and not served. */
function pathOnly(url: string): string {
  if (url[0] !== '/') return '';
  const end = url.search(/[?#]/);
  return (end === -1 ? url : url.slice(0, end)).slice(0, MAX_LOGGED);
}

/** One entry of `attempts`. */
export function attemptText(record: AttemptRecord): string {
  const { backend, address, outcome, ms } = record;
  return `{"backend":"${backend}","endpoint":"${address}","outcome":"${outcome}","ms":${msText(ms)}}`;
}

let isoMs = 0;
let iso = '';

/** Thousands of lines share a millisecond. */
export function isoTime(nowMs: number): string {
  if (nowMs !== isoMs) {
    isoMs = nowMs;
    iso = new Date(nowMs).toISOString();
  }
  return iso;
}

/** In hundredths of a millisecond. The texts of small integers are at hand; that of a fraction costs ten times as much. */
export function msText(ms: number): string {
  const hundredths = Math.round(ms * 100);
  const rest = hundredths % 100;
  return `${(hundredths - rest) / 100}.${rest < 10 ? '0' : ''}${rest}`;
}

/** Characters of what a client chose. */
export const MAX_LOGGED = 256;
