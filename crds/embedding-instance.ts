import * as z from 'zod';
import { podsBackend, serviceBackend, Tls, url } from './backend.ts';
import { Deployment } from './deployment.ts';
import { duration } from './duration.ts';
import { access, auth, ejection, healthCheck, limits, maxConcurrentPerEndpoint, queue, Retry } from './policy.ts';
import { count } from './quantity.ts';
import { reader, resource } from './resource.ts';
import { rule } from './rule.ts';
import { commonStatus } from './status.ts';
import { modelName, text } from './text.ts';

/** First path segments and words of Sluice's own doors. */
const RESERVED = ['v1', 'instances', 'route', 'sessions', 'stats', 'use-cases', 'health'];
const reservedList = RESERVED.map((name) => `'${name}'`).join(', ');
const DNS_1035 = '^[a-z]([-a-z0-9]*[a-z0-9])?$';

const instanceName = rule(
  text({
    min: 1,
    max: 253,
    pattern: '^[A-Za-z0-9_~:@-][A-Za-z0-9._~:@-]*$',
    message: 'must be letters, digits and . _ ~ : @ -',
  }),
  {
    cel: `!(self in [${reservedList}])`,
    message: `instanceName must not be one of the reserved ${RESERVED.join(', ')}`,
    check: (name) => !RESERVED.includes(name),
  },
);

const Timeouts = z
  .strictObject({
    connect: duration.default('5s').describe('To an open connection. 0s: none.'),
    request: duration.default('30s').describe('To the end of an answer. 0s: none.'),
    idle: duration.default('60s').describe('Between two pieces of an answer. 0s: none.'),
  })
  .prefault({})
  .describe('How long each step may take.');

const Spec = rule(
  rule(
    z.strictObject({
      instanceName: instanceName
        .optional()
        .describe('What clients put into Target.instance_name. Absent: the name of this object.'),
      model: modelName
        .optional()
        .describe('The model id it is also routed by; several instances may share it. A deployment needs it.'),
      protocol: z.enum(['GRPC', 'HTTP']).default('GRPC').describe('What the server speaks.'),
      deployment: Deployment.optional().describe(
        'Servers that Sluice runs. Exactly one of deployment, pods, service and url.',
      ),
      pods: podsBackend('').optional().describe('Ready Pods. Exactly one of deployment, pods, service and url.'),
      service: serviceBackend('').optional().describe('A Service. Exactly one of deployment, pods, service and url.'),
      url: url.optional().describe('The root of a server. Exactly one of deployment, pods, service and url.'),
      maxBatch: count().optional().describe('Inputs in one call to it. Absent: as it says itself, else 32.'),
      maxConcurrent: maxConcurrentPerEndpoint,
      queue: z.strictObject(queue).prefault({}).describe('What happens when every slot is taken.'),
      timeouts: Timeouts,
      retry: Retry,
      healthCheck: z.strictObject(healthCheck('10s')).prefault({}).describe('How endpoints are checked.'),
      ejection: ejection('1s'),
      auth: auth.describe('The credential sent to the server, and given to a deployment as API_KEY. Absent: none.'),
      tls: Tls.optional().describe('How the server is called by TLS.'),
      limits,
      access,
    }),
    {
      cel: '[has(self.deployment), has(self.pods), has(self.service), has(self.url)].exists_one(set, set)',
      message: 'exactly one of deployment, pods, service and url must be set',
      check: (spec) =>
        [spec.deployment, spec.pods, spec.service, spec.url].filter((one) => one !== undefined).length === 1,
    },
  ),
  {
    cel: '!has(self.deployment) || has(self.model)',
    message: 'model must be set with deployment',
    check: (spec) => spec.deployment === undefined || spec.model !== undefined,
  },
);

const Status = z.strictObject({
  ...commonStatus,
  replicas: z.int().min(0).optional().describe('Pods of the deployment.'),
  selector: text({ max: 1_024 }).optional().describe('Label selector of those Pods, for autoscalers.'),
});

const Schema = rule(
  rule(
    resource(
      'EmbeddingInstance',
      Spec.describe('What the instance is.'),
      Status.describe('What the operator says about it.'),
    ),
    {
      cel: `has(self.spec.instanceName) || !(self.metadata.name in [${reservedList}])`,
      message: `spec.instanceName must be set: the name of this object is one of the reserved ${RESERVED.join(', ')}`,
      check: ({ spec, metadata }) => spec.instanceName !== undefined || !RESERVED.includes(metadata.name),
    },
  ),
  {
    cel: `!has(self.spec.deployment) || (size(self.metadata.name) <= 63 && self.metadata.name.matches('${DNS_1035}'))`,
    message:
      'metadata.name must be a DNS label that begins with a letter where spec.deployment is set: its Service bears it',
    check: ({ spec, metadata }) =>
      spec.deployment === undefined || (metadata.name.length <= 63 && new RegExp(DNS_1035).test(metadata.name)),
  },
).describe('Embedding servers behind one instance name.');

/** An EmbeddingInstance, with every default filled in as the API server fills them. */
export const EmbeddingInstance = reader(Schema);
export type EmbeddingInstance = z.output<typeof EmbeddingInstance>;
