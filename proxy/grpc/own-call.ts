import type { ClientCall } from './client-call.ts';
import { CODES, type Status, status } from './codes.ts';
import { createFrameReader, isCompressed, isCutShort, readFrames } from './frames.ts';

/** Of a call that the proxy answers itself: a name, a symbol. */
const MAX_REQUEST_BYTES = 64 * 1024;

export const OK: Status = { code: CODES.OK, message: '' };
export const UNDECODABLE = status('INVALID_ARGUMENT', 'The request cannot be decoded');

/**
 * Hands each message on to `onRequest`, then calls `onEnd`; neither is called once the call is over. `onRequest` gives
 * whether the client takes more answers: until it does, nothing more is handed on.
 */
export function readRequests(call: ClientCall, onRequest: (frame: Buffer) => boolean, onEnd: () => void): void {
  const { stream } = call;
  const reader = createFrameReader(MAX_REQUEST_BYTES);
  const waiting: Buffer[] = [];
  let isBlocked = false;
  let isComplete = false;
  const go = (): void => {
    while (!isBlocked && !call.isOver) {
      const frame = waiting.shift();
      if (frame === undefined) break;
      if (isCompressed(frame)) call.end(COMPRESSED);
      else isBlocked = !onRequest(frame);
    }
    if (call.isOver) return;
    if (isBlocked) stream.pause();
    else if (isComplete) onEnd();
    else stream.resume();
  };
  call.onDrain = () => {
    isBlocked = false;
    go();
  };
  stream.on('data', (chunk: Buffer) => {
    if (call.isOver) return;
    const fault = readFrames(reader, chunk, (frame) => waiting.push(frame)) ?? call.hold(reader.partBytes, 0);
    if (fault !== undefined) call.end(fault);
    else go();
  });
  stream.on('end', () => {
    isComplete = true;
    if (isCutShort(reader)) call.end(UNDECODABLE);
    else go();
  });
}

/** The same of a call with one message: ends one with more, or with none. */
export function readOneRequest(call: ClientCall, onRequest: (frame: Buffer) => void): void {
  let first: Buffer | undefined;
  readRequests(
    call,
    (frame) => {
      if (first !== undefined) call.end(NOT_ONE);
      first = frame;
      return true;
    },
    () => {
      if (first === undefined) call.end(NOT_ONE);
      else onRequest(first);
    },
  );
}

const NOT_ONE = status('INVALID_ARGUMENT', 'This call has one message');
const COMPRESSED = status(
  'UNIMPLEMENTED',
  'Compressed requests are not read here; send them with grpc-encoding: identity',
);
