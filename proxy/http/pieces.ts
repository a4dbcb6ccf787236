/**
 * Bytes that are kept as they came, in about as much memory. A chunk costs some two hundred bytes beside its own, and
 * keeps alive all that came in the same read: whoever sends a body byte by byte would make megabytes of gigabytes. So
 * the first chunks are referred to, which is nearly always all, and of later ones the short are copied together.
 */
export interface Pieces {
  readonly list: Buffer[];
  block: Buffer;
  /** Bytes of the block that are in the list, and bytes that are taken. */
  listedTo: number;
  takenTo: number;
}

const REFERRED = 16;
const SHORT_BYTES = 4 * 1024;
const BLOCK_BYTES = 16 * 1024;
const NOTHING = Buffer.alloc(0);

export function createPieces(): Pieces {
  return { list: [], block: NOTHING, listedTo: 0, takenTo: 0 };
}

export function addPiece(pieces: Pieces, chunk: Buffer): void {
  const { list } = pieces;
  if (list.length < REFERRED || chunk.length >= SHORT_BYTES) {
    endBlockPiece(pieces);
    list.push(chunk);
    return;
  }
  if (chunk.length > pieces.block.length - pieces.takenTo) {
    endBlockPiece(pieces);
    pieces.block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
    pieces.listedTo = 0;
    pieces.takenTo = 0;
  }
  pieces.takenTo += chunk.copy(pieces.block, pieces.takenTo);
}

/** All of them in order; not to be changed. */
export function listOf(pieces: Pieces): readonly Buffer[] {
  endBlockPiece(pieces);
  return pieces.list;
}

/** As one. Bytes of a single chunk are not copied. */
export function wholeOf(pieces: Pieces): Buffer {
  const list = listOf(pieces);
  const [only] = list;
  return list.length === 1 && only !== undefined ? only : Buffer.concat(list);
}

function endBlockPiece(pieces: Pieces): void {
  const { block, listedTo, takenTo } = pieces;
  if (takenTo === listedTo) return;
  pieces.list.push(block.subarray(listedTo, takenTo));
  pieces.listedTo = takenTo;
}
