import { statusOf } from '../instance-status.ts';
import { matchInstance } from '../match.ts';
import type { PoolState } from '../pool.ts';
import type { Snapshot } from '../snapshot.ts';
import type { HealthStatus } from './health-message.ts';
import { METHOD_BY_PATH } from './methods.ts';

/** The whole, and what it serves as long as it is there. */
const SERVICES: ReadonlySet<string> = new Set([
  '',
  ...[...METHOD_BY_PATH.keys()].map((path) => path.slice(1, path.lastIndexOf('/'))),
  ...['grpc.health.v1.Health', 'grpc.reflection.v1.ServerReflection', 'grpc.reflection.v1alpha.ServerReflection'],
]);

/**
 * Of a service by its full name, or of an instance by its name or `namespace/name`: NOT_SERVING where it is stopped or
 * no endpoint of it is ready and well. Undefined where there is none of that name.
 */
export function healthOf(snapshot: Snapshot, name: string): HealthStatus | undefined {
  if (SERVICES.has(name)) return 'SERVING';
  const state = matchInstance(snapshot, name);
  return state === undefined ? undefined : healthOfInstance(state);
}

/** Of all services, and of the instances that ask for no key: the names of others are nobody's business. */
export function* healthOfAll({ instances }: Snapshot): Iterable<[string, HealthStatus]> {
  for (const service of SERVICES) yield [service, 'SERVING'];
  for (const state of instances.states) {
    const { instance, access } = state.current ?? {};
    const isNamed = instance !== undefined && access === undefined && !SERVICES.has(instance.instanceName);
    if (isNamed) yield [instance.instanceName, healthOfInstance(state)];
  }
}

function healthOfInstance(state: PoolState): HealthStatus {
  const endpoints = state.current?.tiers.flatMap((tier) => tier.endpoints) ?? [];
  const isWell = endpoints.some((endpoint) => endpoint.state.isHealthy);
  return isWell && statusOf(state) === 'running' ? 'SERVING' : 'NOT_SERVING';
}
