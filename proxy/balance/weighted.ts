import type { Backend } from '../pool.ts';

/**
 * Smooth weighted round robin (nginx): every backend that can be had gains its weight, the largest wins and pays the
 * total. Any run of (sum of weights / gcd) picks holds each backend exactly its share. A backend that cannot be had
 * is left as it is, so that it neither falls behind nor bursts when it is back.
 */
export function pickSmooth(
  backends: readonly Backend[],
  isAvailable: (backend: Backend) => boolean,
  weightOf: (backend: Backend) => number,
): Backend | undefined {
  let best: Backend | undefined;
  let total = 0;
  for (const backend of backends) {
    const weight = weightOf(backend);
    if (weight === 0 || !isAvailable(backend)) continue;
    total += weight;
    backend.state.currentWeight += weight;
    if (best === undefined || backend.state.currentWeight > best.state.currentWeight) best = backend;
  }
  if (best !== undefined) best.state.currentWeight -= total;
  return best;
}

const ownWeight = (backend: Backend): number => backend.weight;

export function weighted(
  backends: readonly Backend[],
  isAvailable: (backend: Backend) => boolean,
): Backend | undefined {
  return pickSmooth(backends, isAvailable, ownWeight);
}
