import { RATE_HEADER_NAMES } from '../admit/rate-headers.ts';
import type { Exchange } from './exchange.ts';
import { forwardableResponseHeaders, withoutNames } from './headers.ts';

/**
 * The head of an upstream's answer as the client gets it: what may pass, then what Sluice says of the request. Limits
 * of ours take the place of the upstream's own.
 */
export function responseHeaders(exchange: Exchange, fromUpstream: readonly string[], isStream: boolean): string[] {
  const passed = forwardableResponseHeaders(fromUpstream);
  const { rateHeaders } = exchange;
  const headers = rateHeaders.length === 0 ? passed : [...withoutNames(passed, RATE_HEADERS), ...rateHeaders];
  // Load balancers in front buffer an event stream unless told otherwise.
  if (isStream) headers.push('x-accel-buffering', 'no');
  return withOwnHeaders(headers, exchange);
}

const RATE_HEADERS: ReadonlySet<string> = new Set(RATE_HEADER_NAMES);

/** Appends x-request-id and the x-sluice-* headers, and Connection: close where this connection ends here. */
export function withOwnHeaders(headers: string[], exchange: Exchange): string[] {
  headers.push('x-request-id', exchange.id);
  if (exchange.pool !== '') headers.push('x-sluice-pool', exchange.pool);
  if (exchange.backend !== '') headers.push('x-sluice-backend', exchange.backend);
  if (exchange.pool !== '') headers.push('x-sluice-attempts', String(exchange.attempts));
  if (exchange.hasMoved) headers.push('x-sluice-affinity', 'moved');
  if (exchange.closes(exchange.req)) headers.push('connection', 'close');
  return headers;
}

/** By the value of content-type. */
export function isEventStream(contentType: string): boolean {
  return contentType.slice(0, EVENT_STREAM.length).toLowerCase() === EVENT_STREAM;
}

const EVENT_STREAM = 'text/event-stream';
