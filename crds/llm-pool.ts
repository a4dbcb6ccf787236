import * as z from 'zod';
import { Headers, podsBackend, Query, serviceBackend, Tls, url } from './backend.ts';
import { duration } from './duration.ts';
import { mapOf, namedList, setOf } from './list.ts';
import {
  Affinity,
  access,
  auth,
  ejection,
  healthCheck,
  limits,
  maxConcurrentPerEndpoint,
  queue,
  Retry,
} from './policy.ts';
import { count } from './quantity.ts';
import { reader, resource } from './resource.ts';
import { rule } from './rule.ts';
import { commonStatus, statusModels } from './status.ts';
import { dnsLabel, modelName, PATH, text } from './text.ts';

const Backend = rule(
  z.strictObject({
    name: dnsLabel.describe('Its name, unique in the pool.'),
    url: url.optional().describe('Base URL of a server. Exactly one of url, service and pods.'),
    service: serviceBackend('/v1').optional().describe('A Service. Exactly one of url, service and pods.'),
    pods: podsBackend('/v1').optional().describe('Ready Pods. Exactly one of url, service and pods.'),
    tier: count(0, 9)
      .default(0)
      .describe('0 comes first; a higher tier only when all lower ones are unavailable or full.'),
    weight: count(0, 1_000).default(1).describe('Its share, divided over its endpoints. 0 drains it.'),
    model: modelName
      .optional()
      .describe(
        'What the server calls the model. Absent: as the client sent it; for namespace/name the first of the pool.',
      ),
    modelMap: mapOf(modelName, { max: 64 })
      .optional()
      .describe('What the server calls it, by the name the client asked for. Wins over model.'),
    maxConcurrent: maxConcurrentPerEndpoint,
    auth,
    headers: Headers.optional().describe("Headers set on every call, over the client's."),
    query: Query.optional().describe("Query parameters set on every call, over the client's."),
    tls: Tls.optional().describe('How a server is called by TLS. With service and pods its presence means https.'),
  }),
  {
    cel: '[has(self.url), has(self.service), has(self.pods)].exists_one(set, set)',
    message: 'exactly one of url, service and pods must be set',
    check: ({ url, service, pods }) => [url, service, pods].filter((one) => one !== undefined).length === 1,
  },
);
export type Backend = z.output<typeof Backend>;

const PrefixHash = z.strictObject({
  loadFactorPercent: count()
    .default(125)
    .describe(
      'How much an endpoint may carry before the next one is taken, in percent of the average; below 100 counts as 100.',
    ),
  prefixBytes: count().default(256).describe('How much of the prompt decides.'),
});

const UseCase = z.strictObject({
  id: text({
    min: 1,
    max: 63,
    pattern: '^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$',
    message: 'must be letters, digits, "-", "_" and "."',
  }).describe('Its name.'),
  description: text({ max: 1_024 }).optional().describe('What it is about.'),
});

const Timeouts = z
  .strictObject({
    connect: duration.default('5s').describe('To an open connection. 0s: none.'),
    firstByte: duration.default('300s').describe('From the sent request to the first byte of the answer. 0s: none.'),
    idle: duration.default('60s').describe('Between two pieces of an answer. 0s: none.'),
    request: duration
      .default('600s')
      .describe('To the end of a unary answer, to the first byte of a stream. 0s: none.'),
  })
  .prefault({})
  .describe('How long each step may take.');

const HealthCheck = z
  .strictObject({
    path: text({ min: 1, max: 1_024, pattern: `^${PATH}$`, message: 'must be a path' })
      .default('models')
      .describe('"/health": from the root of the host. "models": under the base path.'),
    ...healthCheck('30s'),
  })
  .prefault({})
  .describe('How endpoints are checked.');

const Spec = rule(
  z.strictObject({
    models: setOf(modelName, { min: 1, max: 64 })
      .optional()
      .describe('The names clients ask for. Absent: the name of this object. "*" takes whatever no other pool has.'),
    strategy: z
      .enum(['Weighted', 'RoundRobin', 'Failover', 'LeastRequest', 'PrefixHash'])
      .default('Weighted')
      .describe('How an endpoint is picked within a tier.'),
    prefixHash: PrefixHash.optional().describe('Only with the strategy PrefixHash.'),
    backends: namedList(Backend, { key: 'name', min: 1, max: 64 }).describe('The servers.'),
    maxConcurrent: count().optional().describe('Calls in flight at once, of the whole pool. Absent: unlimited.'),
    queue: z
      .strictObject({
        ...queue,
        spillAfter: duration
          .default('500ms')
          .describe('How long one waits before it may take an endpoint of the next tier.'),
      })
      .prefault({})
      .describe('What happens when every slot is taken.'),
    timeouts: Timeouts,
    retry: Retry,
    healthCheck: HealthCheck,
    ejection: ejection('60s'),
    affinity: Affinity.optional().describe(
      'Keeps a conversation on its endpoint while that one is available. Absent: none.',
    ),
    limits,
    access,
    useCases: namedList(UseCase, { key: 'id', max: 64 }).optional().describe('What this pool is good at.'),
  }),
  {
    cel: "!has(self.prefixHash) || self.strategy == 'PrefixHash'",
    message: 'prefixHash must only be set with strategy PrefixHash',
    check: ({ prefixHash, strategy }) => prefixHash === undefined || strategy === 'PrefixHash',
  },
);

const Status = z.strictObject({
  ...commonStatus,
  models: statusModels.optional().describe('The names it really has.'),
});

const Schema = resource(
  'LLMPool',
  Spec.describe('What the pool is.'),
  Status.describe('What the operator says about it.'),
).describe('Servers of large language models behind one or more model names.');

/** An LLMPool, with every default filled in as the API server fills them. */
export const LLMPool = reader(Schema);
export type LLMPool = z.output<typeof LLMPool>;
