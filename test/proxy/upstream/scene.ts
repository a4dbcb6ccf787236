import type { EndpointState, Pool } from '../../../proxy/pool.ts';
import type { Cause } from '../../../proxy/upstream/outcome.ts';
import { noteResult } from '../../../proxy/upstream/rest.ts';
import { type BackendPlan, poolOf } from '../balance/pools.ts';

/** Rests short enough to see the longest. */
export const EJECTION = { consecutiveFailures: 3, failureMs: 1_000, rateLimitedMs: 6_000, maxCooldownMs: 5_000 };
export const TWO = [{ name: 'a' }, { name: 'b' }];

/** A pool with a clock, in which the endpoints of backends are called by their backend's name. */
export class Scene {
  now = 50_000;
  readonly pool: Pool;

  constructor(plans: readonly BackendPlan[] = TWO, more: Partial<Pool> = {}) {
    this.pool = poolOf(plans, { ejection: EJECTION, ...more });
  }

  state(name: string): EndpointState {
    const backends = this.pool.tiers.flatMap((tier) => tier.backends);
    const found = backends.find((backend) => backend.name === name)?.endpoints[0]?.state;
    if (found === undefined) throw new Error(`no backend ${name}`);
    return found;
  }

  /** A call that was chosen as choose would: the probe where the endpoint's rest has run out. */
  end(name: string, cause: Cause, { restMs, times = 1 }: { restMs?: number; times?: number } = {}): number | undefined {
    let rest: number | undefined;
    for (let n = 0; n < times; n += 1) {
      const state = this.state(name);
      const wasProbe = state.restUntil !== 0 && state.restUntil <= this.now;
      rest = noteResult(this.pool, state, { cause, restMs, wasProbe, now: this.now });
    }
    return rest;
  }

  /** A call that was sent before the endpoint's rest began. */
  endLate(name: string, cause: Cause, restMs?: number): number | undefined {
    return noteResult(this.pool, this.state(name), { cause, restMs, wasProbe: false, now: this.now });
  }

  restMs(name: string): number {
    const { restUntil } = this.state(name);
    return restUntil === 0 ? 0 : restUntil - this.now;
  }
}
