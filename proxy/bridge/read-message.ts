import { type Cursor, readBytes, readTag, readVarint32, skipField, WIRE } from '../grpc/protobuf.ts';
import { malformed } from '../upstream/http1/client-error.ts';

/**
 * Reads a message of an answer: `onField` is given each field's number and wire type, reads its value and gives true, or
 * false for a field it does not know.
 * @throws ERR_UPSTREAM_MALFORMED for bytes that are no message, as do all below.
 */
export function eachField(cursor: Cursor, onField: (field: number, wire: number) => boolean): void {
  while (cursor.at < cursor.end) {
    const tag = readTag(cursor);
    check(cursor);
    if (!onField(tag >>> 3, tag & 7)) skipField(cursor, tag);
    check(cursor);
  }
}

export function cursorOf(bytes: Buffer): Cursor {
  return { bytes, at: 0, end: bytes.length };
}

/** The message that is the value of the field at the cursor. */
export function messageAt(cursor: Cursor): Cursor {
  const start = readBytes(cursor);
  check(cursor);
  return { bytes: cursor.bytes, at: start, end: cursor.at };
}

function bytesAt(cursor: Cursor): Buffer {
  const { bytes, at, end } = messageAt(cursor);
  return bytes.subarray(at, end);
}

export function textAt(cursor: Cursor): string {
  return bytesAt(cursor).toString();
}

export function floatAt(cursor: Cursor): number {
  const { bytes, at, end } = cursor;
  if (end - at < FLOAT_BYTES) throw undecodable();
  cursor.at += FLOAT_BYTES;
  return bytes.readFloatLE(at);
}

export function numberAt(cursor: Cursor): number {
  return readVarint32(cursor);
}

/** The bytes of a repeated float, little-endian: packed and in one piece, as every writer of proto3 has it. */
export function packedAt(cursor: Cursor, wire: number, before: Buffer): Buffer {
  const bytes = wire === WIRE.bytes ? bytesAt(cursor) : undefined;
  if (bytes === undefined || bytes.length % FLOAT_BYTES !== 0 || before.length > 0) throw undecodable();
  return bytes;
}

/** As a JSON array. */
export function floatsJson(bytes: Buffer): string {
  const floats = new Array<number>(bytes.length / FLOAT_BYTES);
  for (let index = 0; index < floats.length; index += 1) floats[index] = bytes.readFloatLE(index * FLOAT_BYTES);
  return JSON.stringify(floats);
}

export const NO_FLOATS: Buffer = Buffer.alloc(0);

const FLOAT_BYTES = 4;

function check({ at }: Cursor): void {
  if (at === -1) throw undecodable();
}

function undecodable(): Error {
  return malformed('a message of it cannot be decoded');
}
