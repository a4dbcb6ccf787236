import type { Endpoint, Tier } from '../pool.ts';
import type { Pick } from './strategies.ts';

/**
 * The better of two drawn at random ("power of two choices"), by calls in flight for its weight. Drawing spares the
 * herd that always taking the least loaded makes of several proxies; counting this call in lets weights tell when
 * all are idle.
 */
export function leastRequest(
  { endpoints }: Tier,
  isUsable: (endpoint: Endpoint) => boolean,
  { random }: Pick,
): Endpoint | undefined {
  const usable = endpoints.filter(isUsable);
  const first = usable[Math.floor(random() * usable.length)];
  if (first === undefined || usable.length === 1) return first;
  const others = usable.filter((endpoint) => endpoint !== first);
  const second = others[Math.floor(random() * others.length)];
  return second === undefined || loadOf(first) <= loadOf(second) ? first : second;
}

function loadOf({ state, weight }: Endpoint): number {
  return (state.inFlight + 1) / weight;
}
