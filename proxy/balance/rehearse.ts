import type { Backend, Endpoint, Pool, Tier } from '../pool.ts';

/** A copy of a pool as it is at this moment, on which a choice can be made that moves nothing of the pool itself. */
export function rehearsalOf(pool: Pool): Pool {
  return { ...pool, tiers: pool.tiers.map(copyTier) };
}

function copyTier({ tier, backends }: Tier): Tier {
  const copies = backends.map(copyBackend);
  return { tier, backends: copies, endpoints: copies.flatMap((copy) => (copy.weight > 0 ? copy.endpoints : [])) };
}

function copyBackend(backend: Backend): Backend {
  const endpoints: Endpoint[] = [];
  const copy: Backend = { ...backend, endpoints, state: { ...backend.state } };
  for (const endpoint of backend.endpoints) {
    endpoints.push({ ...endpoint, backend: copy, state: { ...endpoint.state } });
  }
  return copy;
}
