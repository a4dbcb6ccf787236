import type { Endpoint, Tier } from '../pool.ts';
import { endTurn, nextInTurn } from './in-turn.ts';

/** Always the first backend that can be had, in the order of the CR. */
export function failover({ backends }: Tier, isUsable: (endpoint: Endpoint) => boolean): Endpoint | undefined {
  for (const backend of backends) {
    const endpoint = backend.weight === 0 ? undefined : nextInTurn(backend, isUsable);
    if (endpoint !== undefined) return endTurn(endpoint);
  }
  return undefined;
}
