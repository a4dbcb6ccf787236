import { addPiece, createPieces, type Pieces, wholeOf } from '../http/pieces.ts';
import { type Status, status } from './codes.ts';

/** Before each message: one byte that says whether it is compressed, four of its length. */
export const PREFIX_BYTES = 5;

/** Cuts the chunks of a stream into frames, each a message with its prefix. */
export interface FrameReader {
  readonly maxBytes: number;
  /** What has come of a frame that is not whole yet. */
  pieces: Pieces;
  partBytes: number;
  /** Of the frame under way with its prefix; 0 while that is not known. */
  frameBytes: number;
}

/** `maxBytes`: of one message. */
export function createFrameReader(maxBytes: number): FrameReader {
  return { maxBytes, pieces: createPieces(), partBytes: 0, frameBytes: 0 };
}

/**
 * Gives each frame that is whole now to `onFrame`, in order; one that lies in a single chunk is a slice of it. The status
 * where a frame is refused, RESOURCE_EXHAUSTED as soon as its prefix says it is too long: nothing may be read after it.
 */
export function readFrames(reader: FrameReader, chunk: Buffer, onFrame: (frame: Buffer) => void): Status | undefined {
  let rest = chunk;
  if (reader.partBytes > 0) {
    const joined = completeFrame(reader, chunk);
    if (joined === undefined || !Buffer.isBuffer(joined)) return joined;
    rest = joined;
  }
  let at = 0;
  while (rest.length - at >= PREFIX_BYTES) {
    const frameBytes = PREFIX_BYTES + rest.readUInt32BE(at + 1);
    const fault = faultOf(rest[at] as number, frameBytes, reader.maxBytes);
    if (fault !== undefined) return fault;
    if (rest.length - at < frameBytes) {
      reader.frameBytes = frameBytes;
      break;
    }
    onFrame(at === 0 && rest.length === frameBytes ? rest : rest.subarray(at, at + frameBytes));
    at += frameBytes;
  }
  if (at < rest.length) {
    addPiece(reader.pieces, at === 0 ? rest : rest.subarray(at));
    reader.partBytes = rest.length - at;
  }
  return undefined;
}

/** Whether the stream, should it end here, ends inside a frame. */
export function isCutShort(reader: FrameReader): boolean {
  return reader.partBytes > 0;
}

/** Drops what came of a frame that will never be whole. */
export function resetFrames(reader: FrameReader): void {
  reader.pieces = createPieces();
  reader.partBytes = 0;
  reader.frameBytes = 0;
}

export function isCompressed(frame: Buffer): boolean {
  return frame[0] === 1;
}

/** A frame around a message that is still in its place in a larger one: the five bytes before it are overwritten. */
export function frameInPlace(message: Buffer): Buffer {
  const frame = Buffer.from(message.buffer, message.byteOffset - PREFIX_BYTES, PREFIX_BYTES + message.length);
  writePrefix(frame, message.length);
  return frame;
}

/** A frame with these bytes, one after the other, as its message. */
export function frameOf(...payload: readonly Buffer[]): Buffer {
  const frame = Buffer.concat([EMPTY_PREFIX, ...payload]);
  writePrefix(frame, frame.length - PREFIX_BYTES);
  return frame;
}

const EMPTY_PREFIX = Buffer.alloc(PREFIX_BYTES);

function writePrefix(frame: Buffer, messageBytes: number): void {
  frame[0] = 0;
  frame.writeUInt32BE(messageBytes, 1);
}

/** Undefined while the frame is not whole; else it and what came with it, in one piece. */
function completeFrame(reader: FrameReader, chunk: Buffer): Buffer | Status | undefined {
  addPiece(reader.pieces, chunk);
  reader.partBytes += chunk.length;
  if (reader.frameBytes === 0) {
    if (reader.partBytes < PREFIX_BYTES) return undefined;
    // At most five bytes are copied here, and what has come with them.
    const joined = wholeOf(reader.pieces);
    resetFrames(reader);
    return joined;
  }
  if (reader.partBytes < reader.frameBytes) return undefined;
  const joined = wholeOf(reader.pieces);
  resetFrames(reader);
  return joined;
}

function faultOf(flag: number, frameBytes: number, maxBytes: number): Status | undefined {
  if (flag > 1) return status('INVALID_ARGUMENT', 'This is no gRPC message: its compression flag is neither 0 nor 1');
  if (frameBytes - PREFIX_BYTES <= maxBytes) return undefined;
  return status(
    'RESOURCE_EXHAUSTED',
    `A message of ${frameBytes - PREFIX_BYTES} bytes is larger than ${maxBytes} bytes`,
  );
}
