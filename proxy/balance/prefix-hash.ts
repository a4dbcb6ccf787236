import type { Endpoint, Tier } from '../pool.ts';
import { leastRequest } from './least-request.ts';
import { winnerOf } from './rendezvous.ts';
import type { Pick } from './strategies.ts';

/**
 * Calls that begin alike go to one endpoint, whose cache knows the beginning, unless it carries more than
 * `loadFactorPercent` of its share of what is in flight (consistent hashing with bounded loads, Mirrokni et al. 2017):
 * then to the next in the key's own order. A call without a key goes where the load is least.
 */
export function prefixHash(tier: Tier, isUsable: (endpoint: Endpoint) => boolean, pick: Pick): Endpoint | undefined {
  const { prefixKey, pool } = pick;
  if (prefixKey === undefined) return leastRequest(tier, isUsable, pick);
  let load = 1;
  let weights = 0;
  for (const endpoint of tier.endpoints) {
    if (!isUsable(endpoint)) continue;
    load += endpoint.state.inFlight;
    weights += endpoint.weight;
  }
  const perWeight = ((pool.prefixHash.loadFactorPercent / 100) * load) / weights;
  const hasRoom = (endpoint: Endpoint): boolean =>
    isUsable(endpoint) && endpoint.state.inFlight < Math.ceil(perWeight * endpoint.weight);
  return winnerOf(tier.endpoints, prefixKey, hasRoom);
}
