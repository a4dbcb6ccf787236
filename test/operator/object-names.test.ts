import { expect, test } from 'vitest';
import { objectNames } from '../../operator/object-names.ts';

const pool = (namespace: string, name: string) => ({ kind: 'LLMPool', namespace, name }) as const;
const LONG = 'n'.repeat(253);
const DNS_SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

test.each([
  [pool('ml', 'chat'), 'config', 0, 'sluice-pool-ml-chat'],
  [{ kind: 'EmbeddingInstance', namespace: 'ml', name: 'bge' }, 'config', 0, 'sluice-instance-ml-bge'],
  [pool('ml', 'chat'), 'endpoints', 0, 'sluice-endpoints-ml-chat'],
  [pool('ml', 'chat'), 'endpoints', 3, 'sluice-endpoints-ml-chat-3'],
  [pool('ml', 'chat'), 'credentials', 0, 'sluice-credentials-ml-chat'],
] as const)('the objects of %o are named by part, namespace and name', (owner, part, piece, name) => {
  expect(objectNames(owner, part, piece)[0]).toBe(name);
});

test.each([LONG, `${'n'.repeat(220)}.n${'-'.repeat(30)}n`, `${'ab.'.repeat(84)}z`])(
  'a name too long is cut and hashed to one that the API server takes',
  (name) => {
    const names = objectNames(pool('ml', name), 'config');
    for (const one of names) {
      expect(one.length).toBeLessThanOrEqual(253);
      expect(one).toMatch(DNS_SUBDOMAIN);
    }
    expect(new Set(names).size).toBe(names.length);
  },
);

test('long names that begin alike stay apart', () => {
  const [one] = objectNames(pool('ml', `${LONG.slice(1)}a`), 'config');
  const [other] = objectNames(pool('ml', `${LONG.slice(1)}b`), 'config');
  expect(one).not.toBe(other);
});

test('two CRs that share their first name share no other', () => {
  const one = objectNames(pool('a', 'b-c'), 'config');
  const other = objectNames(pool('a-b', 'c'), 'config');
  expect(one[0]).toBe(other[0]);
  expect(one.slice(1).some((name) => other.includes(name))).toBe(false);
});
