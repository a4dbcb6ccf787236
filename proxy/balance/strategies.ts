import type { Backend, StrategyName } from '../pool.ts';
import { failover } from './failover.ts';
import { roundRobin } from './round-robin.ts';
import { weighted } from './weighted.ts';

/** Picks one backend of a tier among those that can be had; undefined where none can. */
export type Strategy = (
  backends: readonly Backend[],
  isAvailable: (backend: Backend) => boolean,
) => Backend | undefined;

/** A new strategy is one file and one line here. */
export const STRATEGIES: Readonly<Record<StrategyName, Strategy>> = {
  Weighted: weighted,
  RoundRobin: roundRobin,
  Failover: failover,
};
