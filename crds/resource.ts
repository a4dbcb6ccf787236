import * as z from 'zod';
import { withoutNulls } from './nulls.ts';
import { dnsLabel, objectName } from './text.ts';

export const GROUP = 'sluice.dev';
export const VERSION = 'v1alpha1';

/** Every field of metadata that the API server knows. It checks them itself: the CRD holds none of this. */
const Metadata = z.strictObject({
  name: objectName,
  namespace: dnsLabel.default('default'),
  uid: z.string().exactOptional(),
  resourceVersion: z.string().exactOptional(),
  generation: z.int().exactOptional(),
  creationTimestamp: z.string().exactOptional(),
  deletionTimestamp: z.string().exactOptional(),
  deletionGracePeriodSeconds: z.int().exactOptional(),
  labels: z.record(z.string(), z.string()).exactOptional(),
  annotations: z.record(z.string(), z.string()).exactOptional(),
  generateName: z.string().exactOptional(),
  selfLink: z.string().exactOptional(),
  finalizers: z.array(z.string()).exactOptional(),
  ownerReferences: z.array(z.unknown()).exactOptional(),
  managedFields: z.array(z.unknown()).exactOptional(),
});

/** A whole CR of one kind, as it is written. */
export function resource<const K extends string, Spec extends z.ZodType, Status extends z.ZodType>(
  kind: K,
  spec: Spec,
  status: Status,
) {
  return z.strictObject({
    apiVersion: z.literal(`${GROUP}/${VERSION}`),
    kind: z.literal(kind),
    metadata: Metadata,
    spec,
    status: status.optional(),
  });
}

/** Reads a CR as the API server does: nulls that mean nothing are dropped before defaults are filled in. */
export function reader<S extends z.ZodType>(schema: S) {
  return z.preprocess((value) => withoutNulls(schema, value), schema);
}
