import { expect, test } from 'vitest';
import { explain } from '../../crds/explain.ts';
import { LLMPool } from '../../crds/llm-pool.ts';

test('each fault is one line that begins with its field', () => {
  const { error } = LLMPool.safeParse({
    apiVersion: 'sluice.dev/v1alpha1',
    kind: 'LLMPool',
    metadata: { name: 'chat' },
    spec: {
      strategie: 'Weighted',
      backends: [
        { name: 'a', url: 'ftp://a' },
        { name: 'a', service: { port: 1 } },
        { name: 'c', weight: '5' },
      ],
    },
    sepc: {},
  });
  expect(error && explain(error)).toEqual([
    'spec.backends[0].url: url must be http:// or https://, a host, and at most a port and a path: no userinfo, query or fragment',
    'spec.backends[1].service.name: required, of type string',
    'spec.backends[2].weight: Invalid input: expected number, received string',
    'spec.strategie: unknown field',
    'sepc: unknown field',
  ]);
});

test.each([undefined, null, 'a', [], 5])('what is no object at all is refused: %j', (value) => {
  expect(LLMPool.safeParse(value).success).toBe(false);
});
