import type { IncomingHttpHeaders } from 'node:http';
import type { Exchange } from './exchange.ts';
import { forwardableResponseHeaders } from './headers.ts';

/** The head of an upstream's answer as the client gets it: what may pass, then what Sluice says of the request. */
export function responseHeaders(exchange: Exchange, fromUpstream: IncomingHttpHeaders, isStream: boolean): string[] {
  const headers = forwardableResponseHeaders(flat(fromUpstream));
  // Load balancers in front buffer an event stream unless told otherwise.
  if (isStream) headers.push('x-accel-buffering', 'no');
  return withOwnHeaders(headers, exchange);
}

/** undici has parsed the head already: its strings are taken rather than made again from the raw bytes. */
function flat(headers: IncomingHttpHeaders): string[] {
  const list: string[] = [];
  for (const name in headers) {
    const value = headers[name];
    if (typeof value === 'string') list.push(name, value);
    else for (const one of value ?? []) list.push(name, one);
  }
  return list;
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

export function isEventStream(headers: IncomingHttpHeaders): boolean {
  // A list where an upstream says it twice.
  return (
    String(headers['content-type'] ?? '')
      .slice(0, EVENT_STREAM.length)
      .toLowerCase() === EVENT_STREAM
  );
}

const EVENT_STREAM = 'text/event-stream';
