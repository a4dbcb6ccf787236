import type { Backend, Endpoint, EndpointState, Pool } from '../pool.ts';
import { STRATEGIES } from './strategies.ts';

/** `busy`: there is one, but all its slots are taken. `none`: there is nothing left that was not tried. */
export type Choice = Endpoint | 'busy' | 'none';

/**
 * The endpoint that the next attempt goes to: the lowest tier with one that is ready, untried and has a free slot; in
 * it the backend that the strategy picks; of its endpoints the next in turn.
 */
export function choose(pool: Pool, tried: readonly EndpointState[]): Choice {
  const strategy = STRATEGIES[pool.strategy];
  let busy = false;
  const isAvailable = (backend: Backend): boolean => {
    const found = nextUsable(backend, tried);
    if (found === 'busy') busy = true;
    return typeof found === 'number';
  };
  for (const { backends } of pool.tiers) {
    const backend = strategy(backends, isAvailable);
    if (backend !== undefined) return take(backend, tried);
  }
  return busy ? 'busy' : 'none';
}

function take(backend: Backend, tried: readonly EndpointState[]): Choice {
  const index = nextUsable(backend, tried);
  if (typeof index === 'string') return index;
  backend.state.nextEndpoint = index + 1;
  return backend.endpoints[index] ?? 'none';
}

/** Index of the first usable endpoint from the one whose turn it is. */
function nextUsable(backend: Backend, tried: readonly EndpointState[]): number | 'busy' | 'none' {
  const { endpoints, maxConcurrent, state } = backend;
  let busy = false;
  for (let step = 0; step < endpoints.length; step += 1) {
    const index = (state.nextEndpoint + step) % endpoints.length;
    const endpoint = endpoints[index];
    if (endpoint === undefined || tried.includes(endpoint.state)) continue;
    if (endpoint.state.inFlight < maxConcurrent) return index;
    busy = true;
  }
  return busy ? 'busy' : 'none';
}
