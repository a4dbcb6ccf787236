import * as z from 'zod';
import { withoutNulls } from './nulls.ts';

export const GROUP = 'sluice.dev';
export const VERSION = 'v1alpha1';

/** Metadata as the API server stores it. It checks them itself, so unknown fields pass here. */
const Metadata = z.looseObject({
  name: z.string(),
  namespace: z.string().default('default'),
  uid: z.string().exactOptional(),
  resourceVersion: z.string().exactOptional(),
  generation: z.int().exactOptional(),
  creationTimestamp: z.string().exactOptional(),
  deletionTimestamp: z.string().exactOptional(),
  labels: z.record(z.string(), z.string()).exactOptional(),
  annotations: z.record(z.string(), z.string()).exactOptional(),
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
