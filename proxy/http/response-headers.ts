import type { Exchange } from './exchange.ts';
import { forwardableResponseHeaders } from './headers.ts';

/** The head of an upstream's answer as the client gets it: what may pass, then what Sluice says of the request. */
export function responseHeaders(exchange: Exchange, fromUpstream: readonly Buffer[], isStream: boolean): string[] {
  const headers = forwardableResponseHeaders(fromUpstream.map((part) => part.toString('latin1')));
  // Load balancers in front buffer an event stream unless told otherwise.
  if (isStream) headers.push('x-accel-buffering', 'no');
  return withOwnHeaders(headers, exchange);
}

/** Appends x-request-id and the x-sluice-* headers, and Connection: close where this connection ends here. */
export function withOwnHeaders(headers: string[], exchange: Exchange): string[] {
  headers.push('x-request-id', exchange.id);
  if (exchange.pool !== '') headers.push('x-sluice-pool', exchange.pool);
  if (exchange.backend !== '') headers.push('x-sluice-backend', exchange.backend);
  if (exchange.pool !== '') headers.push('x-sluice-attempts', String(exchange.attempts));
  if (exchange.closes(exchange.req)) headers.push('connection', 'close');
  return headers;
}

export function isEventStream(headers: readonly Buffer[]): boolean {
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index];
    if (name?.length === CONTENT_TYPE.length && name.toString('latin1').toLowerCase() === CONTENT_TYPE) {
      return headers[index + 1]?.toString('latin1', 0, EVENT_STREAM.length).toLowerCase() === EVENT_STREAM;
    }
  }
  return false;
}

const CONTENT_TYPE = 'content-type';
const EVENT_STREAM = 'text/event-stream';
