import { createHash } from 'node:crypto';
import { type Owner, ownerKey } from '../proxy/config/schema.ts';

export type Part = 'config' | 'endpoints' | 'credentials';

const MAX_NAME = 253;
/** Longer where a shorter one is taken: 40 bits can be searched for, 160 cannot. */
const HASH_LENGTHS = [10, 20, 40] as const;

/**
 * Names for one object of a CR, best first: `sluice-pool-NAMESPACE-NAME`, a piece beyond the first with its number, cut
 * and hashed when too long; then the same with a hash of whose it is, for when another CR's object bears the first
 * (namespace `a`, CR `b-c` and namespace `a-b`, CR `c` would share it). Names are only chosen once, at creation.
 */
export function objectNames(owner: Owner, part: Part, piece = 0): readonly string[] {
  const suffix = piece === 0 ? '' : `-${piece}`;
  const plain = `sluice-${wordOf(owner, part)}-${owner.namespace}-${owner.name}${suffix}`;
  const digest = createHash('sha256')
    .update(`${part} ${piece} ${ownerKey(owner)}`)
    .digest('hex');
  const hashed = HASH_LENGTHS.map((length) => withHash(plain, digest.slice(0, length)));
  return plain.length <= MAX_NAME ? [plain, ...hashed] : hashed;
}

function wordOf(owner: Owner, part: Part): string {
  if (part !== 'config') return part;
  return owner.kind === 'LLMPool' ? 'pool' : 'instance';
}

function withHash(plain: string, hash: string): string {
  const room = MAX_NAME - hash.length - 1;
  return `${plain.slice(0, room).replace(/[-.]+$/, '')}-${hash}`;
}
