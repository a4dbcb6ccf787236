import { expectsJson } from './answer/unary-verdict.ts';
import type { Exchange } from './exchange.ts';
import { type Forwarded, forward, type Sent } from './forward.ts';
import { forwardBatch } from './forward-batch.ts';
import type { Done, HttpDeps } from './handle.ts';
import { forwardableRequestHeaders, withSettings } from './headers.ts';
import { HOPS_HEADER } from './hops.ts';
import { Relay } from './relay.ts';
import { withTrace } from './trace.ts';

export const ALWAYS = (): boolean => true;

/** Sends a request on its way, its answer to the client. */
export function send(deps: HttpDeps, exchange: Exchange, sent: Sent, done: Done): void {
  exchange.bodyAt = deps.now();
  forward(exchange, complete(deps, exchange, sent), new Relay(exchange), deps, done);
}

/** As several calls, their answers joined for the client. */
export function sendParts(
  deps: HttpDeps,
  exchange: Exchange,
  sent: Sent,
  bodies: readonly Sent['bodyFor'][],
  done: Done,
): void {
  exchange.bodyAt = deps.now();
  forwardBatch(exchange, complete(deps, exchange, sent), bodies, deps, done);
}

function complete(deps: HttpDeps, exchange: Exchange, sent: Sent): Forwarded {
  const { head, req, id } = exchange;
  const passed = withTrace(forwardableRequestHeaders(req.rawHeaders), head.trace, deps.newTraceparent);
  let headers = passed;
  if (!head.hasRequestId) headers.push('x-request-id', id);
  else if (!head.requestIdPasses) headers = withSettings(passed, ['x-request-id', id]);
  headers.push(HOPS_HEADER, String(head.hops + 1));
  return { sent, headers, expectsJson: expectsJson(sent.path) };
}
