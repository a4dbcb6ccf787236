import { compileNames, matches, normal, sameName } from './header-names.ts';
import { HOPS_HEADER } from './hops.ts';

/**
 * Header lists are flat as Node and undici have them: name, value, name, value. Nothing is put into an object, so that
 * no name (`__proto__`) is special, duplicates survive, and a request costs one array.
 */

/** What belongs to one connection, and what frames a message on it. */
const HOP_BY_HOP = ['connection', 'keep-alive', 'te', 'trailer', 'transfer-encoding', 'upgrade', 'http2-settings'];
const CREDENTIALS = ['authorization', 'x-api-key', 'api-key', 'cookie'];

const NOT_SENT_UPSTREAM = compileNames({
  names: [
    ...HOP_BY_HOP,
    ...CREDENTIALS,
    'host',
    'content-length',
    'expect',
    'accept-encoding',
    'forwarded',
    HOPS_HEADER,
  ],
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

/** The first value of a name given in lower case, in a list whose names are in lower case; empty: none. */
export function headerOf(headers: readonly string[], name: string): string {
  for (let index = 0; index < headers.length; index += 2) {
    if (headers[index] === name) return headers[index + 1] as string;
  }
  return '';
}

function isOrdinary(connection: string): boolean {
  return connection === 'keep-alive' || connection === 'close';
}

/** Without the headers that a Connection header names as its own: there may be thousands of either. */
function withoutNamed(headers: readonly string[], connection: string): string[] {
  return withoutNames(headers, new Set(connection.split(',').map((name) => normal(name.trim()))));
}

/** Without those of some names, which are given in lower case with hyphens. */
export function withoutNames(headers: readonly string[], names: ReadonlySet<string>): string[] {
  const kept: string[] = [];
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index] as string;
    if (!names.has(normal(name))) kept.push(name, headers[index + 1] as string);
  }
  return kept;
}

function holdsName(list: readonly string[], name: string): boolean {
  for (let index = 0; index < list.length; index += 2) if (sameName(list[index] as string, name)) return true;
  return false;
}

function isNamed(name: string, lower: string): boolean {
  return name.length === lower.length && name.toLowerCase() === lower;
}
