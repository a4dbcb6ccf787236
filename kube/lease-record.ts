import { ApiError } from './api-error.ts';
import type { KubeClient } from './client.ts';
import { type KubeObject, pathOf, RESOURCES } from './object.ts';

/** A coordination.k8s.io/v1 Lease: who leads, and when that was last written. */
export interface Lease extends KubeObject {
  readonly spec: {
    readonly holderIdentity?: string;
    readonly leaseDurationSeconds?: number;
    readonly acquireTime?: string;
    readonly renewTime?: string;
    readonly leaseTransitions?: number;
  };
}

interface Place {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly name: string;
}

interface Call {
  readonly signal?: AbortSignal;
  readonly timeoutMs: number;
}

export async function readLease({ client, namespace, name }: Place, call: Call): Promise<Lease | undefined> {
  try {
    return await client.call<Lease>({ path: pathOf(RESOURCES.leases, { namespace, name }), ...call });
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return undefined;
    throw error;
  }
}

/** Makes the lease, held by `identity`; 409 where there is one by now. */
export function createLease(place: Place & { readonly identity: string }, seconds: number, call: Call): Promise<Lease> {
  const now = microTime();
  const { client, namespace, name, identity } = place;
  const times = { acquireTime: now, renewTime: now };
  const body = {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: { name, namespace },
    spec: { holderIdentity: identity, leaseDurationSeconds: seconds, leaseTransitions: 0, ...times },
  };
  return client.call<Lease>({ method: 'POST', path: pathOf(RESOURCES.leases, { namespace }), body, ...call });
}

export interface Holder {
  readonly holderIdentity: string;
  readonly leaseDurationSeconds: number;
  /** The holder is another one than before. */
  readonly taken?: boolean;
}

/** Writes the holder and the time over the lease as it was read; 409 where it changed since (its resourceVersion says). */
export function writeLease(
  { client, namespace, name }: Place,
  lease: Lease,
  holder: Holder,
  call: Call,
): Promise<Lease> {
  const now = microTime();
  const { taken, ...spec } = holder;
  const transition = { acquireTime: now, leaseTransitions: (lease.spec.leaseTransitions ?? 0) + 1 };
  const body = { ...lease, spec: { ...lease.spec, ...spec, renewTime: now, ...(taken && transition) } };
  return client.call<Lease>({ method: 'PUT', path: pathOf(RESOURCES.leases, { namespace, name }), body, ...call });
}

/** Kubernetes' MicroTime has six digits; a Date has three, which the API server refuses. */
function microTime(): string {
  return new Date().toISOString().replace('Z', '000Z');
}
