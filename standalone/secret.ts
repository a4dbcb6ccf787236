import * as z from 'zod';
import { explain } from '../crds/explain.ts';
import type { SecretFacts } from '../operator/translate/resources.ts';

const base64 = z
  .string()
  .regex(/^\s*(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?\s*$/, 'must be base64');
const plain = z.union([z.string(), z.number(), z.boolean()], 'must be text').transform(String);

const Secret = z.object({
  apiVersion: z.literal('v1'),
  kind: z.literal('Secret'),
  metadata: z.object({ name: z.string(), namespace: z.string().default('default') }),
  data: z.record(z.string(), base64).nullish(),
  stringData: z.record(z.string(), plain).nullish(),
});

/** A Secret as a file writes it: `stringData` wins over `data`, as in a cluster. Faults name fields, never values. */
export function secretFrom(value: unknown): { facts: SecretFacts } | { faults: string[] } {
  const result = Secret.safeParse(value);
  if (!result.success) return { faults: explain(result.error) };
  const { metadata, data, stringData } = result.data;
  const encoded = Object.entries(stringData ?? {}).map(([key, text]) => [key, Buffer.from(text).toString('base64')]);
  return { facts: { ...metadata, data: { ...data, ...Object.fromEntries(encoded) } } };
}
