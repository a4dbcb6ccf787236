import { ProxyError } from '../../errors.ts';
import { skipSpace } from '../json-tokens.ts';
import { type Usage, usageAt } from './usage.ts';

/**
 * The last bytes of an answer that passes through, where its `usage` stands. A ring that chunks are copied into: to
 * refer to chunks would keep their Buffers and what else came in the same socket read, several times the memory. Only the
 * last chunk is referred to, until the next one comes: an answer that came in one has no ring.
 */
export interface Tail {
  last: Buffer | undefined;
  ring: Buffer | undefined;
  /** Where the next byte goes: bytes before it are the latest, bytes after it the oldest. */
  at: number;
  isFull: boolean;
}

/** After `usage` come `[DONE]`, or a few fields of the same object; large ones, as the output, come before it. */
const TAIL_BYTES = 8 * 1024;

export function createTail(): Tail {
  return { last: undefined, ring: undefined, at: 0, isFull: false };
}

/** Costs the copying of the bytes before these, at most those of the ring. */
export function addToTail(tail: Tail, chunk: Buffer): void {
  if (tail.last !== undefined) addToRing(tail, tail.last);
  tail.last = chunk;
}

function addToRing(tail: Tail, chunk: Buffer): void {
  tail.ring ??= Buffer.allocUnsafeSlow(TAIL_BYTES);
  const { ring, at } = tail;
  const start = Math.max(0, chunk.length - ring.length);
  const copied = chunk.copy(ring, at, start);
  const end = at + copied;
  const rest = chunk.length - start - copied;
  if (end < ring.length) {
    tail.at = end;
    return;
  }
  chunk.copy(ring, 0, start + copied);
  tail.at = rest;
  tail.isFull = true;
}

const USAGE = Buffer.from('"usage"');
const COLON = 0x3a;
const OPEN = 0x7b;

/** Each costs a pass over the tail. */
const MAX_OBJECTS = 8;

/**
 * The last `usage` object that is whole and counts tokens. A string cannot look like one: quotes in it are escaped.
 */
export function usageInTail(tail: Tail): Usage | undefined {
  const bytes = bytesOf(tail);
  // Most streams have none. Forward, from a letter that is rare in JSON, costs a tenth of the search backward.
  if (!bytes.includes('usage"', 0, 'latin1')) return undefined;
  let objects = 0;
  for (let before = bytes.length; before > 0 && objects < MAX_OBJECTS; ) {
    const key = bytes.lastIndexOf(USAGE, before - 1);
    if (key === -1) return undefined;
    before = key;
    const start = objectAfter(bytes, key + USAGE.length);
    if (start === -1) continue;
    objects += 1;
    const usage = readUsage(bytes, start);
    if (usage !== undefined) return usage;
  }
  return undefined;
}

function bytesOf({ last = NONE, ring = NONE, at, isFull }: Tail): Buffer {
  if (last.length >= TAIL_BYTES || (at === 0 && !isFull)) return last.subarray(Math.max(0, last.length - TAIL_BYTES));
  const oldest = isFull ? ring.subarray(at) : NONE;
  return Buffer.concat([oldest, ring.subarray(0, at), last]);
}

const NONE = Buffer.alloc(0);

/** Where the object that follows a key begins; -1 where something else does. */
function objectAfter(bytes: Buffer, keyEnd: number): number {
  const colon = skipSpace(bytes, keyEnd);
  if (bytes[colon] !== COLON) return -1;
  const start = skipSpace(bytes, colon + 1);
  return bytes[start] === OPEN ? start : -1;
}

function readUsage(bytes: Buffer, start: number): Usage | undefined {
  try {
    return usageAt(bytes, start);
  } catch (error) {
    if (error instanceof ProxyError) return undefined;
    throw error;
  }
}
