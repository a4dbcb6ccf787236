import { ProxyError } from '../errors.ts';
import { compileNames, matches, sameName } from './header-names.ts';

/**
 * Header lists are flat as Node and undici have them: name, value, name, value. Nothing is put into an object, so that
 * no name (`__proto__`) is special, duplicates survive, and a request costs one array.
 */

/** What belongs to one connection, and what frames a message on it. */
const HOP_BY_HOP = ['connection', 'keep-alive', 'te', 'trailer', 'transfer-encoding', 'upgrade', 'http2-settings'];
const CREDENTIALS = ['authorization', 'x-api-key', 'api-key', 'cookie'];

const NOT_SENT_UPSTREAM = compileNames({
  names: [...HOP_BY_HOP, ...CREDENTIALS, 'host', 'content-length', 'expect', 'accept-encoding', 'forwarded'],
  prefixes: ['proxy-', 'x-forwarded-'],
  // Servers that read `_` as `-` would take these for the real ones.
  onlyWithUnderscore: ['content-type', 'content-encoding'],
});

/**
 * Cookies and challenges are between Sluice and the upstream; alt-svc and strict-transport-security speak of the
 * upstream's own host; x-request-id and x-sluice-* are ours to say.
 */
const NOT_SENT_TO_CLIENT = compileNames({
  names: [
    ...[...HOP_BY_HOP, ...CREDENTIALS, 'set-cookie', 'set-cookie2', 'www-authenticate', 'authentication-info'],
    ...['alt-svc', 'strict-transport-security', 'x-request-id', 'x-accel-buffering'],
  ],
  prefixes: ['proxy-', 'x-sluice-'],
  onlyWithUnderscore: [],
});

/** A client's headers as they may go upstream: without credentials and what belongs to its own connection. */
export function forwardableRequestHeaders(rawHeaders: readonly string[]): string[] {
  const headers = forwardable(rawHeaders, NOT_SENT_UPSTREAM);
  // Answers have to be readable: usage, errors in events.
  headers.push('accept-encoding', 'identity');
  return headers;
}

/** An upstream's headers as they may go to the client. */
export function forwardableResponseHeaders(rawHeaders: readonly string[]): string[] {
  return forwardable(rawHeaders, NOT_SENT_TO_CLIENT);
}

/** Headers with configured ones after them, which take the place of any of the same name. May return `headers` itself. */
export function withSettings(headers: string[], settings: readonly string[]): string[] {
  if (settings.length === 0) return headers;
  const result: string[] = [];
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index] as string;
    if (!holdsName(settings, name)) result.push(name, headers[index + 1] as string);
  }
  result.push(...settings);
  return result;
}

/**
 * Throws for a head that another server could read in another way than we do: `bad_request`; and for an encoded body,
 * which is never decoded here: `unsupported_media_type`. Node's parser has refused the rest.
 */
export function refuseBrokenRequest(req: { rawHeaders: readonly string[]; httpVersionMinor: number }): void {
  const { rawHeaders } = req;
  let hosts = 0;
  let contentTypes = 0;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] as string;
    const value = rawHeaders[index + 1] as string;
    if (isNamed(name, 'host')) hosts += 1;
    else if (isNamed(name, 'content-type')) contentTypes += 1;
    else if (isNamed(name, 'transfer-encoding')) refuseTransferEncoding(value, req.httpVersionMinor);
    else if (isNamed(name, 'content-encoding')) refuseContentEncoding(value);
  }
  if (hosts > 1) throw new ProxyError('bad_request', 'The request has more than one Host header');
  if (contentTypes > 1) throw new ProxyError('bad_request', 'The request has more than one Content-Type header');
}

function refuseTransferEncoding(value: string, httpVersionMinor: number): void {
  if (httpVersionMinor === 0) throw new ProxyError('bad_request', 'HTTP/1.0 knows no Transfer-Encoding');
  if (value.toLowerCase() !== 'chunked') throw new ProxyError('bad_request', 'The only Transfer-Encoding is chunked');
}

function refuseContentEncoding(value: string): void {
  if (value === '' || value.toLowerCase() === 'identity') return;
  throw new ProxyError('unsupported_media_type', 'Encoded bodies are not read: send it without Content-Encoding');
}

function forwardable(rawHeaders: readonly string[], refused: ReturnType<typeof compileNames>): string[] {
  const headers: string[] = [];
  let connection = '';
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] as string;
    const value = rawHeaders[index + 1] as string;
    if (!matches(refused, name)) headers.push(name, value);
    else if (isNamed(name, 'connection') && !isOrdinary(value)) connection += `,${value}`;
  }
  return connection === '' ? headers : withoutNamed(headers, connection);
}

function isOrdinary(connection: string): boolean {
  return connection === 'keep-alive' || connection === 'close';
}

/** Without the headers that a Connection header names as its own. */
function withoutNamed(headers: readonly string[], connection: string): string[] {
  const named = connection.split(',').flatMap((name) => [name.trim(), '']);
  return headers.filter((_, index) => !holdsName(named, headers[index - (index % 2)] as string));
}

function holdsName(list: readonly string[], name: string): boolean {
  for (let index = 0; index < list.length; index += 2) if (sameName(list[index] as string, name)) return true;
  return false;
}

function isNamed(name: string, lower: string): boolean {
  return name.length === lower.length && name.toLowerCase() === lower;
}
