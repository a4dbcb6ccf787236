import { parseDuration } from '../../crds/duration.ts';
import type { LLMPool } from '../../crds/llm-pool.ts';
import type { BackendDocument, PoolDocument } from '../../proxy/config/schema.ts';

/** `models` are the names it really has. */
export function poolDocument(
  { metadata, spec }: LLMPool,
  models: readonly string[],
  backends: readonly BackendDocument[],
): PoolDocument {
  const { namespace, name } = metadata;
  const { strategy, maxConcurrent, timeouts, queue, retry } = spec;
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
    queue: queueOf(queue),
    retry: retryOf(retry),
  };
}

export function queueOf({ maxDepth, timeout }: { maxDepth: number; timeout: string }): PoolDocument['queue'] {
  return { maxDepth, timeoutMs: parseDuration(timeout) };
}

export function retryOf({ attempts, backoff, budgetPercent }: LLMPool['spec']['retry']): PoolDocument['retry'] {
  return { attempts, backoffMs: parseDuration(backoff), budgetPercent };
}
