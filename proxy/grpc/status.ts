import type { OutgoingHttpHeaders } from 'node:http2';
import { CODES, nameOf, type Status, status } from './codes.ts';

/** For errors of our own as well as for the whole of a call that fails before any answer. */
export const CONTENT_TYPE = 'application/grpc';

/** Headers in place of headers and trailers, for a call that ends without an answer. Flat: name, value, … */
export function trailersOnly(end: Status, extra: readonly string[]): string[] {
  return [':status', '200', 'content-type', CONTENT_TYPE, ...statusHeaders(end), ...extra];
}

/** `grpc-status` and `grpc-message`, flat. */
export function statusHeaders({ code, message }: Status): string[] {
  const headers = ['grpc-status', String(code)];
  if (message !== '') headers.push('grpc-message', encodeMessage(message));
  return headers;
}

/** Flat headers as Node takes trailers: no name of them is special, several values of one name are kept. */
export function trailersOf(flat: readonly string[]): OutgoingHttpHeaders {
  const trailers: OutgoingHttpHeaders = Object.create(null);
  for (let index = 0; index < flat.length; index += 2) {
    const name = flat[index] as string;
    const value = flat[index + 1] as string;
    const before = trailers[name];
    trailers[name] = before === undefined ? value : [...(Array.isArray(before) ? before : [String(before)]), value];
  }
  return trailers;
}

/** As `grpc-message` is written: UTF-8, percent-encoded but for printable ASCII other than `%`; cut to 1 KiB. */
export function encodeMessage(message: string): string {
  if (PLAIN.test(message)) return message.slice(0, MAX_MESSAGE);
  return message
    .slice(0, MAX_MESSAGE)
    .toWellFormed()
    .replace(NOT_PLAIN, (text) =>
      Array.from(Buffer.from(text), (byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''),
    );
}

/** What `grpc-message` says; what is no percent-encoding stays as it is. */
export function decodeMessage(message: string): string {
  if (!message.includes('%')) return message;
  try {
    return decodeURIComponent(message);
  } catch {
    return message;
  }
}

const MAX_MESSAGE = 1024;
const PLAIN = /^[\x20-\x24\x26-\x7e]*$/;
const NOT_PLAIN = /[^\x20-\x24\x26-\x7e]+/gu;

/** What a status line other than 200 means, where no `grpc-status` says it (gRPC's own table). */
export function statusOfHttp(httpStatus: number): Status {
  const code = BY_HTTP_STATUS.get(httpStatus) ?? 'UNKNOWN';
  return status(code, `The backend answered with HTTP status ${httpStatus}`);
}

const BY_HTTP_STATUS: ReadonlyMap<number, keyof typeof CODES> = new Map([
  [400, 'INTERNAL'],
  [401, 'UNAUTHENTICATED'],
  [403, 'PERMISSION_DENIED'],
  [404, 'UNIMPLEMENTED'],
  [429, 'UNAVAILABLE'],
  [502, 'UNAVAILABLE'],
  [503, 'UNAVAILABLE'],
  [504, 'UNAVAILABLE'],
]);

/**
 * What the reset of a stream means by its HTTP/2 code. CANCEL is UNAVAILABLE: where the client or the deadline did it,
 * that is known already, so it was the backend, going away (hazards: grpc-js, GOAWAY).
 */
export function statusOfReset(http2Code: number): Status {
  const [code, name] = BY_RESET[http2Code] ?? ['INTERNAL', `code ${http2Code}`];
  return status(code, `The backend reset the stream (${name})`);
}

const BY_RESET: readonly (readonly [keyof typeof CODES, string])[] = [
  ['INTERNAL', 'NO_ERROR'],
  ['INTERNAL', 'PROTOCOL_ERROR'],
  ['INTERNAL', 'INTERNAL_ERROR'],
  ['INTERNAL', 'FLOW_CONTROL_ERROR'],
  ['INTERNAL', 'SETTINGS_TIMEOUT'],
  ['INTERNAL', 'STREAM_CLOSED'],
  ['INTERNAL', 'FRAME_SIZE_ERROR'],
  ['UNAVAILABLE', 'REFUSED_STREAM'],
  ['UNAVAILABLE', 'CANCEL'],
  ['INTERNAL', 'COMPRESSION_ERROR'],
  ['INTERNAL', 'CONNECT_ERROR'],
  ['RESOURCE_EXHAUSTED', 'ENHANCE_YOUR_CALM'],
  ['PERMISSION_DENIED', 'INADEQUATE_SECURITY'],
  ['INTERNAL', 'HTTP_1_1_REQUIRED'],
];

/** A status from flat trailers, as an upstream gave it; undefined where it gave none. */
export function readStatus(trailers: readonly string[]): Status | undefined {
  let code = -1;
  let message = '';
  for (let index = 0; index < trailers.length; index += 2) {
    const name = trailers[index];
    if (name === 'grpc-status') code = codeOf(trailers[index + 1] as string);
    else if (name === 'grpc-message') message = decodeMessage(trailers[index + 1] as string);
  }
  return code === -1 ? undefined : { code, message };
}

/** What is no code is UNKNOWN. */
function codeOf(text: string): number {
  return text === '0' ? CODES.OK : nameOf(Number(text)) === 'UNKNOWN' ? CODES.UNKNOWN : Number(text);
}
