import type { LimitState } from './admit/limits.ts';
import type { Queue } from './admit/queue.ts';
import type { RetryBudget } from './admit/retry-budget.ts';
import type { Conversations } from './balance/conversations.ts';
import type { Sessions } from './grpc/sessions.ts';
import type { PoolSeries } from './metrics/series.ts';
import type { Connections } from './upstream/http1/connection.ts';

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
  readonly queue: { readonly maxDepth: number; readonly timeoutMs: number; readonly spillAfterMs: number };
  readonly timeouts: Timeouts;
  readonly retry: { readonly attempts: number; readonly backoffMs: number; readonly budgetPercent: number };
  readonly ejection: Ejection;
  readonly healthCheck: HealthCheck | undefined;
  readonly limits: Limits | undefined;
  readonly access: Access | undefined;
  /** Whether it matters whose call it is: keys are asked for, limits are a client's, or calls may wait for each other. */
  readonly tellsClientsApart: boolean;
  /** The request header that names a conversation, in lower case; empty: none. */
  readonly affinityHeader: string;
  readonly prefixHash: { readonly loadFactorPercent: number; readonly prefixBytes: number };
  readonly instance?: InstanceFacts;
}

export type StrategyName = 'Weighted' | 'RoundRobin' | 'Failover' | 'LeastRequest' | 'PrefixHash';

/** Milliseconds. */
export interface Ejection {
  readonly consecutiveFailures: number;
  readonly failureMs: number;
  readonly rateLimitedMs: number;
  readonly maxCooldownMs: number;
}

export interface HealthCheck {
  /** With a leading slash from the host's root, else below the base path. */
  readonly path: string;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly unhealthyThreshold: number;
  readonly healthyThreshold: number;
}

/** Of all proxies together; absent: unlimited. */
export interface Rates {
  readonly requestsPerMinute?: number | undefined;
  readonly tokensPerMinute?: number | undefined;
}

export interface Limits {
  readonly pool: Rates;
  readonly perClient: Rates;
}

/** Clients by the sha256 of their key, in lower-case hex. */
export interface Access {
  /** Undefined while the Secret is missing: nobody is let in. */
  readonly clients: ReadonlyMap<string, string> | undefined;
}

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
  /** Inputs in one call to its server; undefined: as the server says. */
  readonly maxBatch: number | undefined;
}

export interface Tier {
  readonly tier: number;
  readonly backends: readonly Backend[];
  /** Those of its backends that are not drained, in order. */
  readonly endpoints: readonly Endpoint[];
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
  /** Its part of the backend's weight. */
  readonly weight: number;
  readonly state: EndpointState;
}

/**
 * What one proxy has learned of an endpoint. It rests after failures (ejected) or after a 429 (cooling) until
 * `restUntil`, and longer: until one call, the probe, has gone well. Apart from that, active checks call it healthy or
 * not. Times are of the monotonic clock, in milliseconds; 0: none.
 */
export interface EndpointState {
  inFlight: number;
  restUntil: number;
  restReason: 'failures' | 'rate_limited';
  /** The one call that tries it after a rest is under way. */
  isProbing: boolean;
  /** In a row. */
  failures: number;
  /** Rests for failures since it last served: each doubles the next. */
  ejections: number;
  /** As active checks see it; true until they have said otherwise. */
  isHealthy: boolean;
  /** Checks in a row that speak against `isHealthy`. */
  contraryChecks: number;
  /** When the next active check is due. */
  nextCheckAt: number;
  /** When an active check brought it back: it takes up its load slowly. */
  recoveredAt: number;
  /** Of backend and origin: where it stands in rendezvous hashing, the same in every proxy. */
  readonly hash: number;
  /**
   * How calls over HTTP reach it, in its own protocol; a new state takes this one's place when TLS, the connect timeout or
   * the protocol change.
   */
  connections: Connections;
  /** How calls over gRPC do; undefined where its protocol is another. */
  sessions: Sessions | undefined;
}

export interface PoolState {
  readonly key: string;
  /** The newest Pool; a call that waits or tries again reads it anew. Undefined once the CR is gone. */
  current: Pool | undefined;
  inFlight: number;
  /** An instance that somebody stopped: no call is given to it until it is started again. */
  isStopped: boolean;
  readonly queue: Queue;
  readonly retries: RetryBudget;
  readonly limits: LimitState;
  readonly conversations: Conversations;
  /** Inputs in one call, as the server of an instance says of itself; undefined: it has not said. */
  maxBatch: number | undefined;
  /** By `tier/backend name`. */
  backends: Map<string, BackendState>;
  /** By `backend name|origin`. */
  endpoints: Map<string, EndpointState>;
  readonly series: PoolSeries;
  /** Exponentially weighted mean of a call's time in it, for an honest Retry-After. */
  meanSeconds: number;
}
