import { expectsJson } from './answer/unary-verdict.ts';
import type { Exchange } from './exchange.ts';
import { type Forwarded, forward } from './forward.ts';
import { forwardBatch } from './forward-batch.ts';
import type { Done, HttpDeps } from './handle.ts';
import { forwardableRequestHeaders, withSettings } from './headers.ts';
import { Relay } from './relay.ts';
import { withTrace } from './trace.ts';

/** A request that is let in: all but what its head says. */
export type Sent = Omit<Forwarded, 'headers' | 'expectsJson'>;

export const ALWAYS = (): boolean => true;

/** Sends a request on its way, its answer to the client. */
export function send(deps: HttpDeps, exchange: Exchange, request: Sent, done: Done): void {
  exchange.bodyAt = deps.now();
  forward(exchange, complete(deps, exchange, request), new Relay(exchange), deps, done);
}

/** As several calls, their answers joined for the client. */
export function sendParts(
  deps: HttpDeps,
  exchange: Exchange,
  request: Sent,
  bodies: readonly Forwarded['bodyFor'][],
  done: Done,
): void {
  exchange.bodyAt = deps.now();
  forwardBatch(exchange, complete(deps, exchange, request), bodies, deps, done);
}

function complete(deps: HttpDeps, exchange: Exchange, request: Sent): Forwarded {
  const { head, req, id } = exchange;
  const passed = withTrace(forwardableRequestHeaders(req.rawHeaders), head.trace, deps.newTraceparent);
  const headers = head.requestIdPasses ? passed : withSettings(passed, ['x-request-id', id]);
  return { ...request, headers, expectsJson: expectsJson(request.path) };
}
