import { authorize, presentedKey } from '../admit/access.ts';
import { admitByLimits, estimateTokens } from '../admit/limits.ts';
import { rateHeaders } from '../admit/rate-headers.ts';
import { waitSeconds } from '../admit/seat.ts';
import { hashOf } from '../balance/rendezvous.ts';
import { ProxyError } from '../errors.ts';
import type { Pool, PoolState } from '../pool.ts';
import type { Exchange } from './exchange.ts';
import type { HttpDeps } from './handle.ts';

/**
 * Whether this client may call, and call now; what it took of the limits stays in the exchange until it is settled.
 * @throws ProxyError
 */
export function admitRequest(
  deps: HttpDeps,
  exchange: Exchange,
  state: PoolState,
  pool: Pool,
  bodyBytes: number,
  maxTokens: number | undefined,
): void {
  if (!pool.tellsClientsApart) return;
  const key = presentedKey(exchange.req.rawHeaders);
  exchange.client = authorize(pool, key, deps.snapshot(), () => waitSeconds(state));
  if (pool.limits === undefined) return;
  const tokens = estimateTokens(bodyBytes, maxTokens);
  const grant = admitByLimits(state.limits, pool.limits, exchange.client, tokens, deps);
  exchange.rateHeaders = rateHeaders(state.limits, pool.limits, exchange.client, deps);
  if (grant instanceof ProxyError) throw grant;
  exchange.grant = grant;
}

/** Hash of the conversation that the pool's affinity header names; undefined: none. */
export function conversationOf({ req }: Exchange, { affinityHeader }: Pool): number | undefined {
  if (affinityHeader === '') return undefined;
  const { rawHeaders } = req;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] as string;
    if (name.length !== affinityHeader.length || name.toLowerCase() !== affinityHeader) continue;
    const value = rawHeaders[index + 1] as string;
    return value === '' ? undefined : hashOf(value);
  }
  return undefined;
}
