import type { Endpoint, Pool, StrategyName, Tier } from '../pool.ts';
import { failover } from './failover.ts';
import { leastRequest } from './least-request.ts';
import { prefixHash } from './prefix-hash.ts';
import { roundRobin } from './round-robin.ts';
import { weighted } from './weighted.ts';

/** What a pick may depend on besides the endpoints. */
export interface Pick {
  readonly pool: Pool;
  /** Of what calls with the same beginning share; undefined where nothing says so. */
  readonly prefixKey: number | undefined;
  readonly random: () => number;
}

/** Picks one endpoint of a tier among those that can be had; undefined where none can. */
export type Strategy = (tier: Tier, isUsable: (endpoint: Endpoint) => boolean, pick: Pick) => Endpoint | undefined;

/** A new strategy is one file and one line here. */
export const STRATEGIES: Readonly<Record<StrategyName, Strategy>> = {
  Weighted: weighted,
  RoundRobin: roundRobin,
  Failover: failover,
  LeastRequest: leastRequest,
  PrefixHash: prefixHash,
};
