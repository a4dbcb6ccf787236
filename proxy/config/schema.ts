import * as z from 'zod';

/**
 * What an operator publishes and a proxy reads. The reader owns the contract: unknown fields pass, every field added
 * later is optional with a usable default, and `format` changes only when an old proxy could no longer serve at all.
 * Durations are whole milliseconds, 0 means none.
 */

const count = z.int().min(0);
const format = z.literal(1);

/** Who a document is for: the kind, namespace and name of the CR. */
export const Owner = z.object({
  kind: z.enum(['LLMPool', 'EmbeddingInstance']),
  namespace: z.string(),
  name: z.string(),
});
export type Owner = z.infer<typeof Owner>;

/** A value that never enters a document: the Secret and key it stands under in the CR's own namespace. */
export const SecretValue = z.object({ secret: z.string(), key: z.string() });
export type SecretValue = z.infer<typeof SecretValue>;

/** A literal, or a prefix (`Bearer `) before a value from a Secret. Exactly one of `value` and `valueFrom` is set. */
export const Setting = z.object({
  name: z.string(),
  value: z.string().optional(),
  valueFrom: SecretValue.optional(),
  prefix: z.string().optional(),
});
export type Setting = z.infer<typeof Setting>;

export const UpstreamTls = z.object({
  ca: SecretValue.optional(),
  cert: SecretValue.optional(),
  key: SecretValue.optional(),
  serverName: z.string().optional(),
});
export type UpstreamTls = z.infer<typeof UpstreamTls>;

export const BackendDocument = z.object({
  name: z.string(),
  tier: count.default(0),
  weight: count.default(1),
  /** Base URL without a trailing slash. Absent: the addresses come in EndpointsDocuments, reached by scheme and path. */
  url: z.string().optional(),
  scheme: z.enum(['http', 'https']).default('http'),
  /** Base path of addresses from EndpointsDocuments: empty, or `/v1` without a trailing slash. */
  path: z.string().default(''),
  model: z.string().optional(),
  modelMap: z.record(z.string(), z.string()).default({}),
  maxConcurrent: count.optional(),
  /** Set on every call, the credential among them; nothing of the client's removes or overrides one. */
  headers: z.array(Setting).default([]),
  query: z.array(Setting).default([]),
  tls: UpstreamTls.optional(),
});
export type BackendDocument = z.infer<typeof BackendDocument>;

const Queue = z.object({
  maxDepth: count.default(1000),
  timeoutMs: count.default(60_000),
  /** How long a call waits for a full tier before it may go to the next one. */
  spillAfterMs: count.default(500),
});
const Retry = z.object({
  attempts: z.int().min(1).default(3),
  backoffMs: count.default(25),
  budgetPercent: count.default(20),
});

/** When an endpoint is left alone for a while, and for how long. */
const Ejection = z.object({
  /** In a row; 0: failures rest no endpoint. */
  consecutiveFailures: count.default(5),
  failureMs: count.default(15_000),
  rateLimitedMs: count.default(60_000),
  maxCooldownMs: count.default(300_000),
});

const HealthCheck = z.object({
  /** With a leading slash from the host's root, else below the base path. For GRPC the service is asked instead. */
  path: z.string().default(''),
  intervalMs: z.int().min(1).default(30_000),
  timeoutMs: count.default(5_000),
  unhealthyThreshold: z.int().min(1).default(2),
  healthyThreshold: z.int().min(1).default(1),
});

/** A minute's worth; absent: unlimited. Each proxy keeps its whole-number share. */
const Rates = z.object({ requestsPerMinute: count.optional(), tokensPerMinute: count.optional() });
export type Rates = z.infer<typeof Rates>;

const Limits = z.object({ pool: Rates.optional(), perClient: Rates.optional() });

/** Who may call: the keys are in this Secret of the CR's namespace, each under the name of its client. */
const Access = z.object({ secret: z.string() });

/** Names the Credentials of the same owner that this document was written for; both are swapped together. */
const CredentialsRef = z.object({ id: z.string() });

const common = {
  format,
  namespace: z.string(),
  name: z.string(),
  maxConcurrent: count.optional(),
  queue: Queue.prefault({}),
  retry: Retry.prefault({}),
  ejection: Ejection.prefault({}),
  /** Absent: no endpoint is asked for its health. */
  healthCheck: HealthCheck.optional(),
  limits: Limits.optional(),
  /** Absent: open. Where its Secret's keys cannot be had, nobody is let in. */
  access: Access.optional(),
  /** Absent although values from Secrets are used: a sidecar, which reads the user's own Secrets by name. */
  credentials: CredentialsRef.optional(),
};

export const PoolDocument = z.object({
  ...common,
  kind: z.literal('LLMPool'),
  /** The names it really has, `*` for the catch-all; always reachable as `namespace/name` besides. */
  models: z.array(z.string()).default([]),
  /** What a backend without a model of its own is asked for when the client asked for `namespace/name`. */
  firstModel: z.string(),
  strategy: z.enum(['Weighted', 'RoundRobin', 'Failover', 'LeastRequest', 'PrefixHash']).default('Weighted'),
  backends: z.array(BackendDocument).default([]),
  prefixHash: z
    .object({ loadFactorPercent: z.int().min(100).default(125), prefixBytes: count.default(256) })
    .prefault({}),
  /** The header that names a conversation, in lower case. */
  affinity: z.object({ header: z.string() }).optional(),
  timeouts: z
    .object({
      connectMs: count.default(5_000),
      firstByteMs: count.default(300_000),
      idleMs: count.default(60_000),
      requestMs: count.default(600_000),
    })
    .prefault({}),
});
export type PoolDocument = z.infer<typeof PoolDocument>;

export const InstanceDocument = z.object({
  ...common,
  kind: z.literal('EmbeddingInstance'),
  instanceName: z.string(),
  /** Whether `instanceName` is its own; always reachable as `namespace/name` besides. */
  named: z.boolean().default(true),
  /** The model id; routed by it only where `modelRouted`. */
  model: z.string().optional(),
  modelRouted: z.boolean().default(true),
  protocol: z.enum(['GRPC', 'HTTP']).default('GRPC'),
  /** Absent: nothing of it can be resolved; calls find no healthy endpoint. */
  backend: BackendDocument.optional(),
  maxBatch: count.optional(),
  timeouts: z
    .object({
      connectMs: count.default(5_000),
      requestMs: count.default(30_000),
      idleMs: count.default(60_000),
    })
    .prefault({}),
});
export type InstanceDocument = z.infer<typeof InstanceDocument>;

/** An address of a backend. One that is not ready gets no new call; calls in flight on it go on. */
export const EndpointEntry = z.object({
  backend: z.string(),
  address: z.string(),
  port: z.int().min(1).max(65_535),
  ready: z.boolean().default(true),
});
export type EndpointEntry = z.infer<typeof EndpointEntry>;

/** At most 250 endpoints of one CR; an endpoint stays in its piece. */
export const EndpointsDocument = z.object({
  format,
  kind: z.literal('Endpoints'),
  of: Owner,
  piece: count,
  endpoints: z.array(EndpointEntry),
});
export type EndpointsDocument = z.infer<typeof EndpointsDocument>;

/** The values behind a document's SecretValues, by `credentialKey`. Held in a Secret, under `credentials.json`. */
export const CredentialsDocument = z.object({
  format,
  kind: z.literal('Credentials'),
  of: Owner,
  id: z.string(),
  values: z.record(z.string(), z.string()),
  /** Of the `access` Secret: sha256 in lower-case hex of each client's key, by client. Absent: the Secret is missing. */
  clients: z.record(z.string(), z.string()).optional(),
});
export type CredentialsDocument = z.infer<typeof CredentialsDocument>;

export const PublishedDocument = z.discriminatedUnion('kind', [
  PoolDocument,
  InstanceDocument,
  EndpointsDocument,
  CredentialsDocument,
]);
export type PublishedDocument = z.infer<typeof PublishedDocument>;

/** What a proxy calls itself, new at each start. */
export const ProxyId = z.string().regex(/^[A-Za-z0-9-]{1,64}$/, 'has letters, digits and dashes, at most 64');
/** The header of `/config` that says so. */
export const PROXY_ID_HEADER = 'x-sluice-proxy';
export const MAX_PROXIES = 1_000;

/** The central proxies that are ready, sorted: the place in the list is a proxy's rank. It is no CR's document. */
export const ProxiesDocument = z.object({ format, kind: z.literal('Proxies'), ids: z.array(ProxyId).max(MAX_PROXIES) });
export type ProxiesDocument = z.infer<typeof ProxiesDocument>;

/** Where a SecretValue stands in `CredentialsDocument.values`. */
export function credentialKey(value: SecretValue): string {
  return `${value.secret}/${value.key}`;
}

/** The one spelling of an owner that maps and logs use: `LLMPool/ml/chat`. */
export function ownerKey(owner: Owner): string {
  return `${owner.kind}/${owner.namespace}/${owner.name}`;
}

/** One line of `/config?watch=true`, and one entry of `/config`. */
export const ConfigReport = z.object({
  kind: Owner.shape.kind,
  namespace: z.string(),
  name: z.string(),
  /** sha256 of the bytes that are served, or, for a rejected one, of the bytes that were refused. */
  revision: z.string(),
  /** `removed` only on the watch: the CR's document is gone. */
  state: z.enum(['loaded', 'rejected', 'removed']),
  message: z.string().default(''),
});
export type ConfigReport = z.infer<typeof ConfigReport>;
