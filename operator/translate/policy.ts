import { parseDuration } from '../../crds/duration.ts';
import type { EmbeddingInstance } from '../../crds/embedding-instance.ts';
import type { LLMPool } from '../../crds/llm-pool.ts';
import type { PoolDocument } from '../../proxy/config/schema.ts';

/** What pools and instances say alike about how calls are treated, as documents say it. */

type Spec = LLMPool['spec'];
type InstanceSpec = EmbeddingInstance['spec'];

export function retryOf({ attempts, backoff, budgetPercent }: Spec['retry']): PoolDocument['retry'] {
  return { attempts, backoffMs: parseDuration(backoff), budgetPercent };
}

export function ejectionOf({
  consecutiveFailures,
  failure,
  rateLimited,
  maxCooldown,
}: Spec['ejection']): PoolDocument['ejection'] {
  return {
    consecutiveFailures,
    failureMs: parseDuration(failure),
    rateLimitedMs: parseDuration(rateLimited),
    maxCooldownMs: parseDuration(maxCooldown),
  };
}

/** undefined: no endpoint is asked. */
export function healthCheckOf(
  { enabled, interval, timeout, unhealthyThreshold, healthyThreshold }: InstanceSpec['healthCheck'],
  path: string,
): PoolDocument['healthCheck'] {
  const intervalMs = parseDuration(interval);
  if (!enabled || intervalMs === 0) return undefined;
  return {
    ...{ path, intervalMs, timeoutMs: parseDuration(timeout) },
    unhealthyThreshold: Math.max(1, unhealthyThreshold),
    healthyThreshold: Math.max(1, healthyThreshold),
  };
}

/** undefined: nothing is limited, whatever empty objects the CR has. */
export function limitsOf(limits: Spec['limits']): PoolDocument['limits'] {
  const [pool, perClient] = [limits?.pool, limits?.perClient].map((rates) => {
    const isSet = rates?.requestsPerMinute !== undefined || rates?.tokensPerMinute !== undefined;
    return isSet ? rates : undefined;
  });
  return pool === undefined && perClient === undefined ? undefined : { pool, perClient };
}

export function accessOf(access: Spec['access']): PoolDocument['access'] {
  return access && { secret: access.secretRef.name };
}
