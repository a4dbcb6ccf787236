import { checkRequest } from '../bridge/check-request.ts';
import { echo, ProxyError } from '../errors.ts';
import { matchInstance } from '../match.ts';
import { admitRequest } from './admit-request.ts';
import { readBody } from './body.ts';
import type { Exchange } from './exchange.ts';
import type { Done, HttpDeps } from './handle.ts';
import { checkJson } from './json-body.ts';
import { notAllowed } from './model-in-url.ts';
import type { Path } from './path.ts';
import { ALWAYS, send } from './send.ts';

/** TEI's REST by instance; the body names no model. */
export function serveInstance(
  deps: HttpDeps,
  exchange: Exchange,
  path: Extract<Path, { kind: 'instance' }>,
  done: Done,
): void {
  const state = matchInstance(deps.snapshot(), path.name);
  const pool = state?.current;
  if (state === undefined || pool === undefined) {
    throw new ProxyError('instance_not_found', `Instance ${echo(path.name)} not found`);
  }
  exchange.pool = state.key;
  exchange.series = state.series;
  exchange.model = path.name;
  const { method = '' } = exchange.req;
  if (method !== path.method) throw notAllowed(method, path.method);
  const withBody = (body: Buffer | undefined): void => {
    if (body !== undefined) checkJson(body);
    checkRequest(pool, method, `/${path.operation}`, body);
    admitRequest(deps, exchange, state, pool, body?.length ?? 0, undefined);
    const request = {
      ...{ state, asked: path.name, path: `/${path.operation}`, query: path.query },
      ...{ bodyFor: () => body, isRepeatable: ALWAYS, conversation: undefined, prefixKey: undefined },
    };
    send(deps, exchange, request, done);
  };
  if (path.method === 'GET') withBody(undefined);
  else readBody(exchange, deps.limits, deps.held, withBody, done);
}
