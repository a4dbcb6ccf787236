import type { Endpoint, EndpointState, Pool } from '../pool.ts';
import { winnerOf } from './rendezvous.ts';
import { STRATEGIES } from './strategies.ts';

/** `busy`: there is one, but all its slots are taken. `none`: there is nothing left that was not tried. */
export type Choice = Endpoint | 'busy' | 'none';

/** What a call asks of its choice. */
export interface Asked {
  /** Endpoints that failed it: not chosen again. */
  readonly tried: readonly EndpointState[];
  /** How many full tiers it may pass over, for the time it has waited. */
  readonly spills: number;
  /** Hash of the conversation it belongs to; undefined: none. */
  readonly conversation: number | undefined;
  /** Hash of what calls with the same beginning share; undefined: nothing. */
  readonly prefixKey: number | undefined;
}

/** What of the world a choice reads. */
export interface ChooseDeps {
  readonly random: () => number;
  /** This proxy's part of a limit on calls at a time. */
  readonly shareOf: (limit: number) => number;
}

/**
 * The endpoint that the next attempt goes to: of the lowest tier that has one which is untried, not resting, healthy
 * and has a free slot. `now` is monotonic, in milliseconds. A tier that is merely full is waited for, until the call has waited long enough to pass it over.
 */
export function choose(pool: Pool, asked: Asked, now: number, deps: ChooseDeps): Choice {
  let busy = false;
  let slow = false;
  // A conversation that hopped away with every other call would lose what it comes back for.
  let takesSlow = asked.conversation !== undefined;
  const isUsable = (endpoint: Endpoint): boolean => {
    const { state, backend } = endpoint;
    if (asked.tried.length > 0 && asked.tried.includes(state)) return false;
    if (!state.isHealthy || state.restUntil > now) return false;
    if (state.isProbing || state.inFlight >= deps.shareOf(backend.maxConcurrent)) {
      busy = true;
      return false;
    }
    if (state.recoveredAt === 0 || takesSlow || takesItsPart(state, now, deps.random)) return true;
    slow = true;
    return false;
  };
  const pick = { pool, prefixKey: asked.prefixKey, random: deps.random };
  const strategy = STRATEGIES[pool.strategy];
  let spills = asked.spills;
  let passedOver = false;
  for (const tier of pool.tiers) {
    busy = false;
    const own = asked.conversation === undefined ? undefined : winnerOf(tier.endpoints, asked.conversation, isUsable);
    let endpoint = own ?? strategy(tier, isUsable, pick);
    if (endpoint === undefined && slow) {
      takesSlow = true;
      endpoint = strategy(tier, isUsable, pick);
    }
    if (endpoint !== undefined) return endpoint;
    if (!busy) continue;
    if (spills === 0) return 'busy';
    spills -= 1;
    passedOver = true;
  }
  return passedOver ? 'busy' : 'none';
}

/** Envoy's: from a tenth of its load to all of it, in so long. */
const SLOW_START_MS = 30_000;
const SLOW_START_LEAST = 0.1;

/** Whether an endpoint that an active check has brought back takes this call, or leaves it to others for now. */
function takesItsPart(state: EndpointState, now: number, random: () => number): boolean {
  const part = (now - state.recoveredAt) / SLOW_START_MS;
  if (part >= 1) {
    state.recoveredAt = 0;
    return true;
  }
  return random() < Math.max(SLOW_START_LEAST, part);
}
