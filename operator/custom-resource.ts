import * as z from 'zod';
import { EmbeddingInstance } from '../crds/embedding-instance.ts';
import { LLMPool } from '../crds/llm-pool.ts';
import { Condition } from '../crds/status.ts';
import type { KubeObject } from '../kube/object.ts';
import { type Owner, ownerKey } from '../proxy/config/schema.ts';

/** A status as it stands: what somebody else wrote into it is not ours to refuse. */
const StandingStatus = z.looseObject({
  conditions: z.array(Condition).default([]).catch([]),
  revision: z.string().optional().catch(undefined),
});
export type StandingStatus = z.output<typeof StandingStatus>;

/** A CR as it stands in the cluster. */
export interface CustomResource {
  readonly owner: Owner;
  /** ownerKey. */
  readonly key: string;
  readonly uid: string;
  readonly generation: number;
  readonly resourceVersion: string;
  /** undefined: `problem` says why it cannot be read. */
  readonly parsed: LLMPool | EmbeddingInstance | undefined;
  readonly problem: string;
  readonly status: StandingStatus;
}

/**
 * Reads a CR. One that this operator's schema does not know, as after a downgrade, has a problem instead of a spec.
 * `before`: as it was read last; what it means is read anew only with a new generation.
 */
export function readCustomResource(kind: Owner['kind'], object: KubeObject, before?: CustomResource): CustomResource {
  const { name, namespace = '', uid = '', generation = 0, resourceVersion = '' } = object.metadata;
  const owner = { kind, namespace, name };
  const isSame = before?.uid === uid && before.generation === generation;
  return {
    ...{ owner, key: ownerKey(owner), uid, generation, resourceVersion },
    ...(isSame ? { parsed: before.parsed, problem: before.problem } : readMeaning(kind, object)),
    status: readStatus(object),
  };
}

export function readStatus(object: KubeObject): StandingStatus {
  return StandingStatus.safeParse(object['status'] ?? {}).data ?? { conditions: [], revision: undefined };
}

function readMeaning(kind: Owner['kind'], object: KubeObject): Pick<CustomResource, 'parsed' | 'problem'> {
  const { name, namespace = '', uid = '', generation = 0, creationTimestamp } = object.metadata;
  // Neither managedFields nor a status that somebody bent have a say in what the CR means.
  const metadata = { name, namespace, uid, generation, ...(creationTimestamp && { creationTimestamp }) };
  const bare = { apiVersion: object.apiVersion ?? 'sluice.dev/v1alpha1', kind, metadata, spec: object['spec'] };
  const schema = kind === 'LLMPool' ? LLMPool : EmbeddingInstance;
  const result = schema.safeParse(bare);
  return { parsed: result.data, problem: result.error ? problemText(result.error) : '' };
}

function problemText(error: z.ZodError): string {
  const [first] = error.issues;
  return `${first?.path.join('.') || 'object'}: ${first?.message ?? 'cannot be read'}; is the CRD of another version?`;
}
