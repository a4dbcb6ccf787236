import { frameOf, PREFIX_BYTES } from './frames.ts';
import { type Cursor, readBytes, readTag, readVarint32, skipField, WIRE } from './protobuf.ts';

/** By their numbers in grpc.health.v1. */
const STATUSES = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'] as const;

export type HealthStatus = (typeof STATUSES)[number];

/** Of a frame with a HealthCheckResponse; UNKNOWN where it says nothing that can be understood. */
export function readHealth(frame: Buffer): HealthStatus {
  const cursor: Cursor = { bytes: frame, at: PREFIX_BYTES, end: frame.length };
  let found = 0;
  while (cursor.at !== -1 && cursor.at < cursor.end) {
    const tag = readTag(cursor);
    if (cursor.at === -1) break;
    if (tag === ((1 << 3) | WIRE.varint)) found = readVarint32(cursor);
    else skipField(cursor, tag);
  }
  return STATUSES[found] ?? 'UNKNOWN';
}

/** The service that a frame with a HealthCheckRequest asks for; undefined for bytes that are no message. */
export function readService(frame: Buffer): string | undefined {
  const cursor: Cursor = { bytes: frame, at: PREFIX_BYTES, end: frame.length };
  let service = '';
  while (cursor.at < cursor.end) {
    const tag = readTag(cursor);
    if (cursor.at === -1) return undefined;
    if (tag === FIRST_BYTES) {
      const start = readBytes(cursor);
      if (start !== -1) service = frame.toString('utf8', start, cursor.at);
    } else skipField(cursor, tag);
    if (cursor.at === -1) return undefined;
  }
  return service;
}

/** A frame with a HealthCheckResponse. */
export function healthFrame(status: HealthStatus): Buffer {
  return frameOf(response(status));
}

/** A frame with a HealthListResponse. */
export function healthListFrame(statuses: Iterable<readonly [string, HealthStatus]>): Buffer {
  const entries: Buffer[] = [];
  for (const [service, status] of statuses) {
    const [key, value] = [field(FIRST_BYTES, Buffer.from(service)), field(SECOND_BYTES, response(status))];
    entries.push(field(FIRST_BYTES, Buffer.concat([key, value])));
  }
  return frameOf(...entries);
}

const FIRST_BYTES = (1 << 3) | WIRE.bytes;
const SECOND_BYTES = (2 << 3) | WIRE.bytes;

function response(status: HealthStatus): Buffer {
  return Buffer.from([(1 << 3) | WIRE.varint, STATUSES.indexOf(status)]);
}

function field(tag: number, bytes: Buffer): Buffer {
  const head = [tag];
  let rest = bytes.length;
  for (; rest > 0x7f; rest >>>= 7) head.push((rest & 0x7f) | 0x80);
  return Buffer.concat([Buffer.from([...head, rest]), bytes]);
}
