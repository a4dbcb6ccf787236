import type { Backend } from '../pool.ts';
import { pickSmooth } from './weighted.ts';

/** Weight 0 still drains. */
const oneEach = (backend: Backend): number => (backend.weight === 0 ? 0 : 1);

/** Each backend in turn, whatever its weight. */
export function roundRobin(
  backends: readonly Backend[],
  isAvailable: (backend: Backend) => boolean,
): Backend | undefined {
  return pickSmooth(backends, isAvailable, oneEach);
}
