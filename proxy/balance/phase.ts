import type { Pool } from '../pool.ts';
import { STRATEGIES } from './strategies.ts';

/**
 * Moves the weighted position of a new pool to a random point of its period: 64 replicas that all start at zero would
 * send their first calls to the same backend.
 */
export function startAtRandomPhase(pool: Pool, random: () => number): void {
  const always = (): boolean => true;
  const pick = { pool, prefixKey: undefined, random };
  for (const tier of pool.tiers) {
    const { backends } = tier;
    const period = backends.reduce((sum, backend) => sum + backend.weight, 0);
    const picks = Math.floor(random() * Math.min(period, MAX_PERIOD));
    for (let n = 0; n < picks; n += 1) STRATEGIES[pool.strategy](tier, always, pick);
    for (const backend of backends) backend.state.nextEndpoint = Math.floor(random() * MAX_PERIOD);
  }
}

/** Weights of 1000 on 64 backends have a long period; any point of its beginning spreads replicas as well. */
const MAX_PERIOD = 1024;
