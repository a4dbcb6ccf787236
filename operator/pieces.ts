import type { EndpointEntry } from '../proxy/config/schema.ts';

/** CONTRACT §2.4: a flip of one endpoint then rewrites some 25 KB at most, whatever the CR's size. */
const MAX_PIECE = 250;

export type Pieces = ReadonlyMap<number, readonly EndpointEntry[]>;

/**
 * Spreads a CR's endpoints over pieces. One that stands in a piece stays there; new ones take the first room; a piece
 * that loses its last is gone, but for piece 0. `entries` are sorted and so is each piece.
 */
export function assignPieces(entries: readonly EndpointEntry[], present: Pieces): Pieces {
  const home = new Map<string, number>();
  for (const [piece, held] of present) for (const entry of held) home.set(identityOf(entry), piece);
  const pieces = new Map<number, EndpointEntry[]>();
  const put = (piece: number, entry: EndpointEntry): void => {
    const held = pieces.get(piece);
    if (held) held.push(entry);
    else pieces.set(piece, [entry]);
  };
  const fresh: EndpointEntry[] = [];
  for (const entry of entries) {
    const piece = home.get(identityOf(entry));
    if (piece === undefined || (pieces.get(piece)?.length ?? 0) >= MAX_PIECE) fresh.push(entry);
    else put(piece, entry);
  }
  let piece = 0;
  for (const entry of fresh) {
    while ((pieces.get(piece)?.length ?? 0) >= MAX_PIECE) piece++;
    put(piece, entry);
  }
  if (!pieces.has(0)) pieces.set(0, []);
  return new Map([...pieces].sort(([a], [b]) => a - b).map(([number, held]) => [number, sorted(held)]));
}

/**
 * `entries` and, of backends that they no longer name, what the pieces still hold: what is right both for the document
 * before an edit and for the one after it.
 */
export function keepLostBackends(entries: readonly EndpointEntry[], present: Pieces): readonly EndpointEntry[] {
  const named = new Set(entries.map(({ backend }) => backend));
  const lost = [...present.values()].flat().filter(({ backend }) => !named.has(backend));
  return lost.length === 0 ? entries : sorted([...entries, ...lost]);
}

function identityOf({ backend, address, port }: EndpointEntry): string {
  return `${backend} ${address} ${port}`;
}

function sorted(entries: readonly EndpointEntry[]): EndpointEntry[] {
  const keyed = entries.map((entry) => [identityOf(entry), entry] as const);
  return keyed.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)).map(([, entry]) => entry);
}
