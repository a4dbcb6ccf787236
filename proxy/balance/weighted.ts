import type { Backend, Endpoint, Tier } from '../pool.ts';
import { endTurn, nextInTurn } from './in-turn.ts';

/**
 * Smooth weighted round robin (nginx): every backend that can be had gains its weight, the largest wins and pays the
 * total. Any run of (sum of weights / gcd) picks holds each backend exactly its share. A backend that cannot be had
 * is left as it is, so that it neither falls behind nor bursts when it is back.
 */
export function pickSmooth(
  backends: readonly Backend[],
  isUsable: (endpoint: Endpoint) => boolean,
  weightOf: (backend: Backend) => number,
): Endpoint | undefined {
  let best: Backend | undefined;
  let endpointOfBest: Endpoint | undefined;
  let total = 0;
  for (const backend of backends) {
    const weight = weightOf(backend);
    if (weight === 0) continue;
    const endpoint = nextInTurn(backend, isUsable);
    if (endpoint === undefined) continue;
    total += weight;
    backend.state.currentWeight += weight;
    if (best !== undefined && backend.state.currentWeight <= best.state.currentWeight) continue;
    best = backend;
    endpointOfBest = endpoint;
  }
  if (best === undefined || endpointOfBest === undefined) return undefined;
  best.state.currentWeight -= total;
  return endTurn(endpointOfBest);
}

const ownWeight = (backend: Backend): number => backend.weight;

export function weighted({ backends }: Tier, isUsable: (endpoint: Endpoint) => boolean): Endpoint | undefined {
  return pickSmooth(backends, isUsable, ownWeight);
}
