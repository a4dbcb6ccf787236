import { compileNames, matches } from '../http/header-names.ts';
import { HOPS_HEADER, hopsOf } from '../http/hops.ts';

/** Flat metadata: name, value, name, value, names in lower case as HTTP/2 has them. */

const HOP_BY_HOP = ['connection', 'keep-alive', 'te', 'trailer', 'transfer-encoding', 'upgrade', 'http2-settings'];
const CREDENTIALS = ['authorization', 'x-api-key', 'api-key', 'cookie'];

const NOT_SENT_UPSTREAM = compileNames({
  names: [
    ...[...HOP_BY_HOP, ...CREDENTIALS, 'host', 'content-length', 'expect', 'accept-encoding', 'forwarded'],
    // They chose the instance; it has no use for them.
    ...['x-tei-instance', 'x-tei-model'],
    HOPS_HEADER,
  ],
  prefixes: ['proxy-', 'x-forwarded-'],
  onlyWithUnderscore: ['content-type', 'content-encoding'],
});

const NOT_SENT_TO_CLIENT = compileNames({
  names: [
    ...[...HOP_BY_HOP, ...CREDENTIALS, 'set-cookie', 'set-cookie2', 'www-authenticate', 'authentication-info'],
    ...['alt-svc', 'strict-transport-security', 'x-request-id', 'content-length'],
  ],
  prefixes: ['proxy-', 'x-sluice-'],
  onlyWithUnderscore: [],
});

/** `grpc-` is gRPC's own between two hops; these few speak of the messages themselves, or of what both ends know. */
const PASSED_ON = new Set([
  'grpc-encoding',
  'grpc-accept-encoding',
  'grpc-status',
  'grpc-message',
  'grpc-status-details-bin',
  'grpc-trace-bin',
]);

/** What a client said, as it may go upstream: without credentials and what is between it and us, one hop further. */
export function requestMetadata(rawHeaders: readonly string[]): string[] {
  const metadata = forwardable(rawHeaders, NOT_SENT_UPSTREAM);
  metadata.push(HOPS_HEADER, String(hopsSoFar(rawHeaders) + 1));
  return metadata;
}

/** How many Sluice proxies a call has passed. */
export function hopsSoFar(rawHeaders: readonly string[]): number {
  let hops = 0;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    if (rawHeaders[index] === HOPS_HEADER) hops = Math.max(hops, hopsOf(rawHeaders[index + 1] as string));
  }
  return hops;
}

/** An upstream's initial metadata or trailers, as they may go to the client. */
export function answerMetadata(rawHeaders: readonly string[]): string[] {
  return forwardable(rawHeaders, NOT_SENT_TO_CLIENT);
}

function forwardable(rawHeaders: readonly string[], refused: ReturnType<typeof compileNames>): string[] {
  const metadata: string[] = [];
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] as string;
    if (name.startsWith(':') || matches(refused, name)) continue;
    if (name.startsWith('grpc-') && !PASSED_ON.has(name)) continue;
    metadata.push(name, rawHeaders[index + 1] as string);
  }
  return metadata;
}

/** The first value of a name; empty: none. */
export function metadataValue(metadata: readonly string[], name: string): string {
  for (let index = 0; index < metadata.length; index += 2) {
    if (metadata[index] === name) return metadata[index + 1] as string;
  }
  return '';
}
