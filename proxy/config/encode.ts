import { createHash } from 'node:crypto';

/** JSON with sorted keys and without undefined members: equal content is equal bytes. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, member: unknown) =>
    member !== null && typeof member === 'object' && !Array.isArray(member)
      ? Object.fromEntries(Object.entries(member).sort(([a], [b]) => (a < b ? -1 : 1)))
      : member,
  );
}

/** The revision of a document: lower-case hex sha256 over its bytes as published. */
export function revisionOf(bytes: string): string {
  return createHash('sha256').update(bytes).digest('hex');
}
