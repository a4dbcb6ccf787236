import type { Exchange } from './exchange.ts';

/**
 * The one line of a request, as JSON. Built by hand: only what a client chose is quoted with care, and nothing of a
 * body, a header or a key is in it.
 */
export function accessLine(exchange: Exchange, status: number, endedAt: number, nowMs: number): string {
  const { req, trail, firstByteAt, isServed, startedAt } = exchange;
  let line =
    `{"level":"info","time":"${isoTime(nowMs)}","program":"proxy","msg":"request","id":${JSON.stringify(exchange.id)}` +
    `,"method":"${req.method ?? ''}","path":${JSON.stringify(pathOnly(req.url ?? ''))},"status":${status}` +
    `,"ms":${round(endedAt - startedAt)}`;
  if (exchange.model !== '') line += `,"model":${JSON.stringify(exchange.model.slice(0, MAX_LOGGED))}`;
  if (exchange.pool !== '') line += `,"pool":"${exchange.pool}"`;
  if (isServed) line += `,"firstByteMs":${round(firstByteAt - startedAt)}`;
  if (exchange.queueMs > 0) line += `,"queueMs":${round(exchange.queueMs)}`;
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

function attemptText(record: Exchange['trail'][number]): string {
  const { backend, address, outcome, ms } = record;
  return `{"backend":"${backend}","endpoint":"${address}","outcome":"${outcome}","ms":${round(ms)}}`;
}

let isoMs = 0;
let iso = '';

/** Thousands of lines share a millisecond. */
function isoTime(nowMs: number): string {
  if (nowMs !== isoMs) {
    isoMs = nowMs;
    iso = new Date(nowMs).toISOString();
  }
  return iso;
}

/** Hundredths of a millisecond. `toFixed` costs five times as much. */
function round(ms: number): number {
  return Math.round(ms * 100) / 100;
}

const MAX_LOGGED = 256;
