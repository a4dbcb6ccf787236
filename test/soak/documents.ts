import type { FakeLlm } from '../support/fake-llm.ts';

type Document = Readonly<Record<string, unknown>>;

/**
 * The `n`-th version of all that is served: weights, a backend that comes and goes, a key that changes with it. Without
 * active checks nothing is done by itself.
 */
export function documentsOf([a, b, c]: readonly FakeLlm[], n: number, { checked = true } = {}): Document[] {
  if (a === undefined || b === undefined || c === undefined) throw new Error('three model servers are needed');
  const id = `generation-${n}`;
  const headers = [{ name: 'authorization', prefix: 'Bearer ', valueFrom: { secret: 'provider', key: 'key' } }];
  const backend = ({ name, url }: FakeLlm, fields: object = {}): object => ({ name, url: `${url}/v1`, ...fields });
  const chat = [
    backend(a, { headers, weight: 1 + (n % 5), maxConcurrent: 200 }),
    backend(b, { headers, weight: 1 + ((n * 3) % 7) }),
    ...(n % 2 === 0 ? [backend(c, { headers })] : []),
  ];
  return [
    { format: 1, kind: 'Credentials', of: { kind: 'LLMPool', ...nameOf('chat') }, id, values: { 'provider/key': id } },
    pool('chat', chat, {
      credentials: { id },
      ...(checked && { healthCheck: { path: 'models', intervalMs: 2_000, timeoutMs: 10_000 } }),
    }),
    pool('talk', [backend(a), backend(b), ...(n % 3 === 0 ? [backend(c)] : [])], {
      ...{ strategy: 'LeastRequest', affinity: { header: 'x-session-id' } },
      limits: {
        pool: { requestsPerMinute: 100_000 + n, tokensPerMinute: 100_000_000 },
        perClient: { requestsPerMinute: 1_000, tokensPerMinute: 1_000_000 },
      },
    }),
    // A queue that is used: few slots, and calls that leave it.
    pool('narrow', [backend(b, { maxConcurrent: 2 })], { queue: { maxDepth: 20, timeoutMs: 500 + n } }),
    // Fails over, rests and comes back.
    pool('flaky', [backend(c), backend(a, { tier: 1 })], {
      ...{ ejection: { failureMs: 500, rateLimitedMs: 500 }, retry: { attempts: 3, budgetPercent: 100 } },
      timeouts: { firstByteMs: 400 + (n % 2), idleMs: 1_000 },
    }),
    {
      ...{ format: 1, kind: 'EmbeddingInstance', ...nameOf('embed'), instanceName: 'embed', protocol: 'HTTP' },
      ...{ backend: { name: 'server', url: a.url, weight: 1 + (n % 2) }, maxBatch: 4 },
    },
  ];
}

function nameOf(name: string): { namespace: string; name: string } {
  return { namespace: 'ml', name };
}

function pool(name: string, backends: readonly object[], fields: object): Document {
  return {
    ...{ format: 1, kind: 'LLMPool', ...nameOf(name), models: [name], firstModel: name, backends },
    ...fields,
  };
}
