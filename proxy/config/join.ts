import type { EndpointEntry, EndpointsDocument } from './schema.ts';

/**
 * All addresses of one owner from its pieces, sorted, each once. One that two pieces hold, as it moves between them, is
 * ready only if both say so: a call to an endpoint that has gone costs more than a moment without it.
 */
export function joinPieces(pieces: Iterable<EndpointsDocument>): readonly EndpointEntry[] {
  const byIdentity = new Map<string, EndpointEntry>();
  for (const { endpoints } of pieces) {
    for (const entry of endpoints) {
      const identity = `${entry.backend} ${entry.address} ${entry.port}`;
      const other = byIdentity.get(identity);
      if (other === undefined || other.ready) byIdentity.set(identity, entry);
    }
  }
  return [...byIdentity].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, entry]) => entry);
}

/** Whether two joined lists say the same. */
export function sameEndpoints(a: readonly EndpointEntry[], b: readonly EndpointEntry[]): boolean {
  return (
    a.length === b.length &&
    a.every((entry, index) => {
      const other = b[index];
      return (
        other !== undefined &&
        entry.backend === other.backend &&
        entry.address === other.address &&
        entry.port === other.port &&
        entry.ready === other.ready
      );
    })
  );
}
