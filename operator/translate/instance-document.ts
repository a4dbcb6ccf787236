import { parseDuration } from '../../crds/duration.ts';
import type { EmbeddingInstance } from '../../crds/embedding-instance.ts';
import type { Backend } from '../../crds/llm-pool.ts';
import type { BackendDocument, InstanceDocument } from '../../proxy/config/schema.ts';
import type { Claim } from './claim-names.ts';
import { accessOf, ejectionOf, healthCheckOf, limitsOf, retryOf } from './policy.ts';

/** An instance's servers as a pool's only backend; it bears the name of the CR. */
export function backendOfInstance({ metadata, spec }: EmbeddingInstance): Backend {
  const { url, service, pods, auth, tls, maxConcurrent } = spec;
  return { name: metadata.name, tier: 0, weight: 1, url, service, pods, auth, tls, maxConcurrent };
}

function instanceNameOf({ metadata, spec }: EmbeddingInstance): string {
  return spec.instanceName ?? metadata.name;
}

/** `backend` is absent while what it refers to is missing. */
export function instanceDocument(
  instance: EmbeddingInstance,
  { names, isGlobal }: Pick<Claim, 'names' | 'isGlobal'>,
  backend: BackendDocument | undefined,
): InstanceDocument {
  const { namespace, name } = instance.metadata;
  const { model, protocol, maxBatch, timeouts, queue, retry, ejection, healthCheck, limits, access } = instance.spec;
  const instanceName = instanceNameOf(instance);
  return {
    ...{ format: 1, kind: 'EmbeddingInstance', namespace, name },
    ...{ instanceName, named: names.includes(instanceName) },
    // Instances share a model id, but not with a namespace whose names are its own affair.
    ...{ model, modelRouted: isGlobal },
    ...{ protocol, backend, maxBatch },
    timeouts: {
      connectMs: parseDuration(timeouts.connect),
      requestMs: parseDuration(timeouts.request),
      idleMs: parseDuration(timeouts.idle),
    },
    // It has one tier, so there is none to spill to.
    queue: { maxDepth: queue.maxDepth, timeoutMs: parseDuration(queue.timeout), spillAfterMs: 0 },
    retry: retryOf(retry),
    ejection: ejectionOf(ejection),
    healthCheck: healthCheckOf(healthCheck, protocol === 'HTTP' ? '/health' : ''),
    limits: limitsOf(limits),
    access: accessOf(access),
  };
}
