import type { PoolState } from './pool.ts';

/** `unavailable`: no endpoint of it is ready. `stopped`: somebody wants it so. */
export type InstanceStatus = 'running' | 'stopped' | 'unavailable';

export function statusOf({ current, isStopped }: PoolState): InstanceStatus {
  if (isStopped) return 'stopped';
  const isReady = current?.tiers.some(({ backends }) => backends.some(({ endpoints }) => endpoints.length > 0));
  return isReady === true ? 'running' : 'unavailable';
}
