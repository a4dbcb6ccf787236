import type { Endpoint } from '../pool.ts';

/**
 * Rendezvous hashing: every endpoint draws a number from its own hash and the key's, the highest wins. All proxies
 * agree without speaking to each other, and an endpoint that comes or goes moves only the keys it wins or had.
 */

/** FNV-1a over UTF-16 units, 32 bits: for keys and endpoints alike. */
export function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  }
  return hash >>> 0;
}

/**
 * What an endpoint drew for a key: -weight / ln(u), so that each wins in proportion to its weight (weighted rendezvous,
 * Schindelhauer & Schomaker 2005). 0 for a drained one.
 */
function drawOf(endpoint: Endpoint, keyHash: number): number {
  // The finalizer of MurmurHash3: neighbouring inputs give unrelated numbers.
  let mixed = endpoint.state.hash ^ Math.imul(keyHash, 0x9e3779b1);
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  const unit = (((mixed ^ (mixed >>> 16)) >>> 0) + 0.5) / 0x1_0000_0000;
  return -endpoint.weight / Math.log(unit);
}

/** The endpoint that wins a key among those that can be had. */
export function winnerOf(
  endpoints: readonly Endpoint[],
  keyHash: number,
  isUsable: (endpoint: Endpoint) => boolean,
): Endpoint | undefined {
  let winner: Endpoint | undefined;
  let highest = 0;
  for (const endpoint of endpoints) {
    const draw = drawOf(endpoint, keyHash);
    if (draw <= highest || !isUsable(endpoint)) continue;
    winner = endpoint;
    highest = draw;
  }
  return winner;
}
