import { parseDuration } from '../../crds/duration.ts';
import type { LLMPool } from '../../crds/llm-pool.ts';
import type { BackendDocument, PoolDocument } from '../../proxy/config/schema.ts';
import { accessOf, ejectionOf, healthCheckOf, limitsOf, retryOf } from './policy.ts';

/** `models` are the names it really has. */
export function poolDocument(
  { metadata, spec }: LLMPool,
  models: readonly string[],
  backends: readonly BackendDocument[],
): PoolDocument {
  const { namespace, name } = metadata;
  const { strategy, maxConcurrent, timeouts, queue, healthCheck } = spec;
  return {
    ...{ format: 1, kind: 'LLMPool', namespace, name },
    models: [...models],
    firstModel: spec.models?.find((model) => model !== '*') ?? name,
    ...{ strategy, backends: [...backends], maxConcurrent },
    timeouts: {
      connectMs: parseDuration(timeouts.connect),
      firstByteMs: parseDuration(timeouts.firstByte),
      idleMs: parseDuration(timeouts.idle),
      requestMs: parseDuration(timeouts.request),
    },
    queue: {
      maxDepth: queue.maxDepth,
      timeoutMs: parseDuration(queue.timeout),
      spillAfterMs: parseDuration(queue.spillAfter),
    },
    retry: retryOf(spec.retry),
    ejection: ejectionOf(spec.ejection),
    healthCheck: healthCheckOf(healthCheck, healthCheck.path),
    prefixHash: prefixHashOf(spec.prefixHash),
    affinity: spec.affinity && { header: spec.affinity.header.toLowerCase() },
    limits: limitsOf(spec.limits),
    access: accessOf(spec.access),
  };
}

/** Less than its fair share no endpoint can carry. */
function prefixHashOf({ loadFactorPercent = 125, prefixBytes = 256 }: Partial<PoolDocument['prefixHash']> = {}) {
  return { loadFactorPercent: Math.max(100, loadFactorPercent), prefixBytes };
}
