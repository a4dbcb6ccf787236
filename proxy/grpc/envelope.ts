import { isUtf8 } from 'node:buffer';
import { isStatus, type Status, status } from './codes.ts';
import { frameInPlace, frameOf, isCompressed, PREFIX_BYTES } from './frames.ts';
import { type Cursor, readBytes, readTag, readVarint32, skipField, WIRE } from './protobuf.ts';
import { byModel, byName, merged, NO_ROUTING, type Target } from './target.ts';

export interface Envelope {
  readonly target: Target;
  /** The inner request as a frame of its own, ready to be sent. */
  readonly frame: Buffer;
}

/**
 * Takes a frame of tei_multiplexer.v1 apart without decoding what is in it: no copy is made, the inner request's prefix
 * is written over the envelope's bytes before it, so the frame given is used up. `requestName` is what the inner request
 * is called in errors; undefined where the method has none. A fault has the status that the client gets.
 */
export function openEnvelope(frame: Buffer, requestName: string | undefined): Envelope | Status {
  if (isCompressed(frame)) return COMPRESSED;
  const found = readEnvelope(frame.subarray(PREFIX_BYTES));
  if (found === undefined) return UNDECODABLE;
  const { target, request } = found;
  if (target === undefined) return NO_TARGET;
  if (isStatus(target)) return target;
  if (requestName === undefined) return { target, frame: frameOf() };
  if (request === undefined) return status('INVALID_ARGUMENT', `Missing ${requestName} request`);
  return { target, frame: Buffer.isBuffer(request) ? frameInPlace(request) : frameOf(...request) };
}

/**
 * The two fields of a message: each undefined where it is missing, `target` the status where it names none or several.
 * A request in several pieces is what protobuf merges: their bytes in a row. Undefined for bytes that are no message.
 */
export function readEnvelope(
  message: Buffer,
): { target: Target | Status | undefined; request: Buffer | Buffer[] | undefined } | undefined {
  const cursor: Cursor = { bytes: message, at: 0, end: message.length };
  let target: Target | Status | undefined;
  let request: Buffer | Buffer[] | undefined;
  while (cursor.at < cursor.end) {
    const tag = readTag(cursor);
    const field = tag >>> 3;
    if (cursor.at === -1) return undefined;
    if (field !== 1 && field !== 2) {
      skipField(cursor, tag);
      if (cursor.at === -1) return undefined;
      continue;
    }
    if ((tag & 7) !== WIRE.bytes) return undefined;
    const start = readBytes(cursor);
    if (start === -1) return undefined;
    if (field === 2) {
      request = joined(request, message.subarray(start, cursor.at));
      if (request.length > MAX_PIECES && !Buffer.isBuffer(request)) return undefined;
    } else {
      const next = readTarget({ bytes: message, at: start, end: cursor.at });
      if (next === undefined) return undefined;
      target = merged(target, next);
    }
  }
  return { target, request };
}

/** No client sends a request in pieces; a hostile one could send millions. */
const MAX_PIECES = 64;

/** Undefined for bytes that are no message. */
function readTarget(cursor: Cursor): Target | Status | undefined {
  let target: Target | Status = NO_ROUTING;
  while (cursor.at < cursor.end) {
    const tag = readTag(cursor);
    const field = tag >>> 3;
    const wire = tag & 7;
    if (cursor.at === -1) return undefined;
    if (wire === WIRE.bytes && field <= 3) {
      const start = readBytes(cursor);
      if (start === -1 || !isUtf8(cursor.bytes.subarray(start, cursor.at))) return undefined;
      const text = cursor.bytes.toString('utf8', start, cursor.at);
      target = merged(target, field === 1 ? byName(text) : byModel(text));
    } else if (wire === WIRE.varint && (field === 2 || field === 3)) {
      const index = readVarint32(cursor);
      target = merged(target, { by: 'index', index });
    } else if (field === 1) return undefined;
    else skipField(cursor, tag);
    if (cursor.at === -1) return undefined;
  }
  return target;
}

function joined(first: Buffer | Buffer[] | undefined, second: Buffer): Buffer | Buffer[] {
  if (first === undefined) return second;
  if (Buffer.isBuffer(first)) return [first, second];
  first.push(second);
  return first;
}

const UNDECODABLE = status('INVALID_ARGUMENT', 'The request cannot be decoded');
const NO_TARGET = status('INVALID_ARGUMENT', 'Missing target');
const COMPRESSED = status(
  'UNIMPLEMENTED',
  'Compressed requests cannot be routed by their target; send them with grpc-encoding: identity',
);
