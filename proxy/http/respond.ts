import { errorBody, ProxyError } from '../errors.ts';
import type { Answer } from './attempt.ts';
import type { Exchange } from './exchange.ts';
import { responseHeaders, withOwnHeaders } from './response-headers.ts';
import { awaitReader } from './stalled-reader.ts';

/** An upstream's own answer, passed on after all: with a Retry-After of ours where it has none and needs one. */
export function sendAnswer(exchange: Exchange, answer: Answer, retryAfterSeconds?: number): void {
  const headers = responseHeaders(exchange, answer.headers, false);
  const lacks = !headers.some((name, index) => index % 2 === 0 && name.toLowerCase() === 'retry-after');
  if (retryAfterSeconds !== undefined && lacks) headers.push('retry-after', String(retryAfterSeconds));
  exchange.res.writeHead(answer.status, headers);
  exchange.res.end(answer.body);
  awaitReader(exchange.res);
}

/** JSON of ours. */
export function sendJson(exchange: Exchange, status: number, value: unknown): void {
  send(exchange, status, Buffer.from(JSON.stringify(value)), []);
}

/** An error of ours; one that nobody foresaw says nothing of itself to the client. */
export function sendError(exchange: Exchange, error: unknown): void {
  const known = error instanceof ProxyError ? error : new ProxyError('internal_error', 'Internal error');
  exchange.errorCode = known.code;
  if (exchange.res.headersSent) {
    exchange.res.destroy();
    return;
  }
  const extra = known.retryAfterSeconds === undefined ? [] : ['retry-after', String(known.retryAfterSeconds)];
  if (known.allow !== undefined) extra.push('allow', known.allow);
  if (known.code === 'client_timeout' || known.code === 'not_implemented') extra.push('connection', 'close');
  extra.push(...exchange.rateHeaders);
  send(exchange, known.status, errorBody(known.code, known.message, known.param), extra);
}

function send(exchange: Exchange, status: number, body: Buffer, extra: readonly string[]): void {
  if (exchange.res.destroyed) return;
  const headers = ['content-type', 'application/json', 'content-length', String(body.length), ...extra];
  exchange.res.writeHead(status, withOwnHeaders(headers, exchange));
  exchange.res.end(body);
  awaitReader(exchange.res);
}
