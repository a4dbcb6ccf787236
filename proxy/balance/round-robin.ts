import type { Backend, Endpoint, Tier } from '../pool.ts';
import { pickSmooth } from './weighted.ts';

/** Weight 0 still drains. */
const oneEach = (backend: Backend): number => (backend.weight === 0 ? 0 : 1);

/** Each backend in turn, whatever its weight. */
export function roundRobin({ backends }: Tier, isUsable: (endpoint: Endpoint) => boolean): Endpoint | undefined {
  return pickSmooth(backends, isUsable, oneEach);
}
