import * as z from 'zod';
import { atomicList, mapOf, namedList } from './list.ts';
import { count, portNumber, quantity, size } from './quantity.ts';
import { objectName, text } from './text.ts';

/** A part of core/v1: what is not named here passes as it is. */
function open<const Shape extends z.ZodRawShape>(shape: Shape) {
  return z.looseObject(shape).meta({ 'x-kubernetes-preserve-unknown-fields': true });
}

const word = text({ max: 1_024, pattern: '^[!-~]*$', message: 'must be printable ASCII without spaces' });
const strings = mapOf(text({ max: 4_096 }), { max: 64 });
const optionalName = text({
  max: 253,
  pattern: '^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$',
  message: 'must be empty or the name of an object',
});

const EnvVar = open({ name: text({ min: 1, max: 256 }).describe('Its name.') });
const Volume = open({ name: text({ min: 1, max: 63 }).describe('Its name.') });
const VolumeMount = open({ mountPath: text({ min: 1, max: 1_024 }).describe('Where it is mounted.') });

const Resources = open({
  requests: mapOf(quantity, { max: 16 }).optional().describe('What is set aside for it.'),
  limits: mapOf(quantity, { max: 16 }).optional().describe('What it may use at most.'),
});

const Cache = z.strictObject({
  size: size.describe('How large the claim is.'),
  storageClassName: optionalName.optional().describe('Its storage class. Absent: the default of the cluster.'),
  retain: z
    .enum(['Delete', 'Retain'])
    .default('Delete')
    .describe('Delete: it goes with this object. Retain: it stays.'),
});

const Template = z.strictObject({
  labels: strings.optional().describe('Labels of the Pods.'),
  annotations: strings.optional().describe('Annotations of the Pods.'),
  nodeSelector: strings.optional().describe('Labels a node must have.'),
  tolerations: atomicList(open({}), { max: 32 }).optional().describe('As in core/v1.'),
  affinity: open({}).optional().describe('As in core/v1.'),
  imagePullSecrets: namedList(open({ name: objectName.describe('The Secret.') }), { key: 'name', max: 16 })
    .optional()
    .describe('As in core/v1. The Secrets must have the label sluice.dev/credential: "true".'),
  serviceAccountName: optionalName
    .optional()
    .describe('A ServiceAccount with the label sluice.dev/workload: "true". No token of it is mounted.'),
  runtimeClassName: optionalName.optional().describe('As in core/v1.'),
  priorityClassName: optionalName.optional().describe('As in core/v1.'),
  volumes: namedList(Volume, { key: 'name', max: 32 })
    .optional()
    .describe(
      'As in core/v1: emptyDir, configMap, persistentVolumeClaim, or a Secret with the label sluice.dev/credential: "true".',
    ),
  volumeMounts: namedList(VolumeMount, { key: 'mountPath', max: 32 }).optional().describe('As in core/v1.'),
  securityContext: open({}).optional().describe("The container's, as in core/v1."),
});

export const Deployment = z.strictObject({
  image: word.min(1).describe('The image of the server.'),
  replicas: count().default(1).describe('How many run. 0 stops it.'),
  port: portNumber.default(8080).describe('The port the server listens on, given to it as --port.'),
  args: atomicList(text({ max: 4_096 }), { max: 128 })
    .optional()
    .describe('More arguments, after --model-id and --port.'),
  env: namedList(EnvVar, { key: 'name', max: 128 })
    .optional()
    .describe('As in core/v1. Secrets must have the label sluice.dev/credential: "true".'),
  resources: Resources.optional().describe('As in core/v1.'),
  cache: Cache.optional().describe('A claim at /data for model files. Absent: an emptyDir.'),
  template: Template.optional().describe('What else the Pods have.'),
});
export type Deployment = z.output<typeof Deployment>;
