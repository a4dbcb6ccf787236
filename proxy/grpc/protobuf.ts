/** Where a reader stands in the bytes of one message. A fault is final: `at` is -1 from then on. */
export interface Cursor {
  readonly bytes: Buffer;
  at: number;
  readonly end: number;
}

export const WIRE = { varint: 0, fixed64: 1, bytes: 2, groupStart: 3, groupEnd: 4, fixed32: 5 } as const;

/** Deeper groups of unknown fields are refused, as protobuf's own libraries do. */
const MAX_GROUP_DEPTH = 100;

/** Field number times eight plus wire type; -1 where there is none. */
export function readTag(cursor: Cursor): number {
  const tag = readVarint32(cursor);
  // No field has the number 0.
  if (cursor.at !== -1 && tag < 8) cursor.at = -1;
  return cursor.at === -1 ? -1 : tag;
}

/** The low 32 bits of a varint, as protobuf reads a uint32. */
export function readVarint32(cursor: Cursor): number {
  const { bytes, end } = cursor;
  let value = 0;
  for (let shift = 0; shift < 70; shift += 7) {
    if (cursor.at >= end || cursor.at === -1) break;
    const byte = bytes[cursor.at] as number;
    cursor.at += 1;
    if (shift < 32) value |= (byte & 0x7f) << shift;
    if (byte < 0x80) return value >>> 0;
  }
  cursor.at = -1;
  return 0;
}

/** A length-delimited field: the cursor goes past it. Gives where it begins, -1 where it is not whole. */
export function readBytes(cursor: Cursor): number {
  const length = readVarint32(cursor);
  if (cursor.at === -1 || length > cursor.end - cursor.at) {
    cursor.at = -1;
    return -1;
  }
  const start = cursor.at;
  cursor.at += length;
  return start;
}

/** Goes past a field nobody asked for. */
export function skipField(cursor: Cursor, tag: number, depth = 0): void {
  const wire = tag & 7;
  if (wire === WIRE.varint) readVarint32(cursor);
  else if (wire === WIRE.bytes) readBytes(cursor);
  else if (wire === WIRE.fixed64) skip(cursor, 8);
  else if (wire === WIRE.fixed32) skip(cursor, 4);
  else if (wire === WIRE.groupStart && depth < MAX_GROUP_DEPTH) skipGroup(cursor, tag >>> 3, depth);
  else cursor.at = -1;
}

function skip(cursor: Cursor, bytes: number): void {
  cursor.at = bytes > cursor.end - cursor.at ? -1 : cursor.at + bytes;
}

function skipGroup(cursor: Cursor, field: number, depth: number): void {
  while (cursor.at !== -1) {
    const tag = readTag(cursor);
    if (cursor.at === -1) return;
    if ((tag & 7) === WIRE.groupEnd) {
      if (tag >>> 3 !== field) cursor.at = -1;
      return;
    }
    skipField(cursor, tag, depth + 1);
  }
}
