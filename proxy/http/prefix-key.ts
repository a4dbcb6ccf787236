import type { Pool } from '../pool.ts';
import type { BodyFacts, Span } from './json-body.ts';

/** No name is longer; a body may hold as much as a body can. */
const NAME_BYTES = 1024;

/**
 * What calls with the same beginning share, as a hash: the body's `prompt_cache_key`, else its `user`, else the first
 * bytes of its prompt. Undefined where it has none of them.
 */
export function prefixKeyOf(body: Buffer, facts: BodyFacts, { prefixHash }: Pool): number | undefined {
  const named = facts.promptCacheKey ?? facts.user;
  if (named !== undefined) return hashOfBytes(body, { ...named, end: Math.min(named.end, named.start + NAME_BYTES) });
  if (facts.prompt === undefined) return undefined;
  const { start, end } = facts.prompt;
  return hashOfBytes(body, { start, end: Math.min(end, start + prefixHash.prefixBytes) });
}

/** FNV-1a, 32 bits. */
function hashOfBytes(body: Buffer, { start, end }: Span): number {
  let hash = 0x811c9dc5;
  for (let at = start; at < end; at += 1) hash = Math.imul(hash ^ (body[at] as number), 0x01000193);
  return hash >>> 0;
}
