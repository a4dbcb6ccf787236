import { PREFIX_BYTES } from './frames.ts';
import { type Cursor, readTag, readVarint32, skipField, WIRE } from './protobuf.ts';

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
