import type { Backend } from '../pool.ts';

/** Always the first that can be had, in the order of the CR. */
export function failover(
  backends: readonly Backend[],
  isAvailable: (backend: Backend) => boolean,
): Backend | undefined {
  return backends.find((backend) => backend.weight > 0 && isAvailable(backend));
}
