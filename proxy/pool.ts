import type { PoolSeries } from './metrics/series.ts';
import type { Connections } from './upstream/connections.ts';

/**
 * A pool in two halves. `Pool` is what a document says, immutable, new with each change. `PoolState` is what the proxy
 * has learned while serving it, carried from one Pool to the next by identity, so that no reload loses a slot, a
 * weighted position or a connection. An EmbeddingInstance is a pool of one backend.
 */
export interface Pool {
  readonly kind: 'LLMPool' | 'EmbeddingInstance';
  readonly namespace: string;
  readonly name: string;
  /** `namespace/name`: how metrics, headers and logs call it. */
  readonly key: string;
  readonly revision: string;
  /** Flat names it serves, `*` for the catch-all. */
  readonly models: readonly string[];
  /** The model asked for where a client used `namespace/name`. */
  readonly firstModel: string;
  readonly strategy: StrategyName;
  /** Sorted by tier; a tier without an endpoint is kept, so that /pools shows it. */
  readonly tiers: readonly Tier[];
  /** Calls of the whole pool at a time; Infinity: unlimited. */
  readonly maxConcurrent: number;
  readonly queue: { readonly maxDepth: number; readonly timeoutMs: number };
  readonly timeouts: Timeouts;
  readonly retry: { readonly attempts: number; readonly backoffMs: number };
  readonly instance?: InstanceFacts;
}

export type StrategyName = 'Weighted' | 'RoundRobin' | 'Failover';

/** Milliseconds; 0 means none. */
export interface Timeouts {
  readonly connectMs: number;
  readonly firstByteMs: number;
  readonly idleMs: number;
  readonly requestMs: number;
}

export interface InstanceFacts {
  readonly instanceName: string;
  readonly model: string | undefined;
  readonly protocol: 'GRPC' | 'HTTP';
}

export interface Tier {
  readonly tier: number;
  readonly backends: readonly Backend[];
}

export interface Backend {
  readonly name: string;
  readonly weight: number;
  readonly model: string | undefined;
  readonly modelMap: ReadonlyMap<string, string>;
  /** Per endpoint; Infinity: unlimited. */
  readonly maxConcurrent: number;
  /** Configured headers with their credentials, flat: name, value, name, value. */
  readonly headers: readonly string[];
  /** Configured query parameters, encoded, without a leading `?`. */
  readonly query: string;
  readonly endpoints: readonly Endpoint[];
  /** Known but not ready: shown, never called. */
  readonly unready: readonly string[];
  readonly state: BackendState;
}

export interface BackendState {
  /** Smooth weighted round robin's current weight. */
  currentWeight: number;
  /** Index of the endpoint whose turn is next. */
  nextEndpoint: number;
}

export interface Endpoint {
  readonly backend: Backend;
  /** host:port, for people. */
  readonly address: string;
  /** What the client's path is appended to. */
  readonly basePath: string;
  readonly state: EndpointState;
}

export interface EndpointState {
  inFlight: number;
  /** How to reach it; replaced when TLS or the connect timeout change. */
  connections: Connections;
}

export interface PoolState {
  readonly key: string;
  /** The newest Pool; a call that waits or tries again reads it anew. Undefined once the CR is gone. */
  current: Pool | undefined;
  inFlight: number;
  /** First come, first served; a Set for removal in O(1). */
  readonly waiters: Set<Waiter>;
  /** By `tier/backend name`. */
  backends: Map<string, BackendState>;
  /** By `backend name|origin`. */
  endpoints: Map<string, EndpointState>;
  readonly series: PoolSeries;
  /** Exponentially weighted mean of a call's time in it, for an honest Retry-After. */
  meanSeconds: number;
}

/** A call that waits for a slot: told when to look again. */
export interface Waiter {
  readonly wake: () => boolean;
}
