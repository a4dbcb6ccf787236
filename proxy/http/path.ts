import { echo, ProxyError } from '../errors.ts';

/** Where a request goes, by its path. Queries are as they came, without the `?`. */
export type Path =
  /** Any OpenAI-shaped path; `rest` is what follows `/v1`, its slash included. */
  | { readonly kind: 'openai'; readonly rest: string; readonly query: string }
  /** TEI's REST of one instance; `name` is its instanceName or `namespace/name`. */
  | {
      readonly kind: 'instance';
      readonly name: string;
      readonly operation: string;
      readonly method: 'GET' | 'POST';
      readonly query: string;
    }
  /** The list of models, or one of them; `rest` as above, an id's slashes as they came. */
  | { readonly kind: 'models'; readonly id: string | undefined; readonly rest: string; readonly query: string };

const SLASH = 0x2f;
const PERCENT = 0x25;

/** 1 for what a segment is made of. */
const SEGMENT = new Uint8Array(128).map((_, code) => (/[A-Za-z0-9._~:@-]/.test(String.fromCharCode(code)) ? 1 : 0));

const OPERATIONS: ReadonlyMap<string, 'GET' | 'POST'> = new Map([
  ['embed', 'POST'],
  ['embed_sparse', 'POST'],
  ['embed_all', 'POST'],
  ['rerank', 'POST'],
  ['predict', 'POST'],
  ['tokenize', 'POST'],
  ['decode', 'POST'],
  ['info', 'GET'],
  ['health', 'GET'],
]);

const MODELS = '/v1/models';
const INSTANCES = '/instances/';

/**
 * Reads a request's target. Throws `bad_request` for what two servers could read in two ways (dot segments, empty
 * segments, backslashes, anything encoded but a name's slash) and `unknown_path` for what is not served.
 */
export function parsePath(target: string): Path {
  const mark = target.indexOf('?');
  const end = mark === -1 ? target.length : mark;
  const query = mark === -1 ? '' : target.slice(mark + 1);
  if (query !== '') checkQuery(query);
  if (target.charCodeAt(0) !== SLASH) throw bad(target, 'it has to start with a slash');
  if (target.startsWith(MODELS) && (end === MODELS.length || target.charCodeAt(MODELS.length) === SLASH)) {
    return models(target, end, query);
  }
  if (target.startsWith(INSTANCES)) return instance(target, end, query);
  if (end > 1) checkSegments(target, 1, end, false);
  if (!target.startsWith('/v1/')) throw unknown(target);
  return { kind: 'openai', rest: target.slice(3, end), query };
}

function models(target: string, end: number, query: string): Path {
  const rest = target.slice(3, end);
  if (end === MODELS.length) return { kind: 'models', id: undefined, rest, query };
  const start = MODELS.length + 1;
  checkSegments(target, start, end, true);
  return { kind: 'models', id: decodeSlashes(target.slice(start, end)), rest, query };
}

function instance(target: string, end: number, query: string): Path {
  const slash = target.indexOf('/', INSTANCES.length);
  const nameEnd = slash === -1 || slash > end ? end : slash;
  const name = target.slice(INSTANCES.length, nameEnd);
  checkSegments(target, INSTANCES.length, nameEnd, true);
  if (nameEnd < end) checkSegments(target, nameEnd + 1, end, false);
  if (name.split('%').length > 2) throw bad(target, 'an instance is `name` or `namespace%2Fname`');
  const operation = target.slice(nameEnd + 1, end);
  const method = OPERATIONS.get(operation);
  if (method === undefined) throw unknown(target);
  return { kind: 'instance', name: decodeSlashes(name), operation, method, query };
}

/** Between two slashes of a target: no segment may be empty, a dot or two, or hold what a segment is not made of. */
function checkSegments(target: string, start: number, end: number, encodedSlashes: boolean): void {
  let segment = start;
  for (let at = start; at < end; at += 1) {
    const code = target.charCodeAt(at);
    if (code < 128 && SEGMENT[code] === 1) continue;
    if (code === SLASH) {
      checkSegment(target, segment, at);
    } else if (encodedSlashes && code === PERCENT && isEncodedSlash(target, at)) {
      checkSegment(target, segment, at);
      at += 2;
    } else {
      throw bad(target, 'a segment is made of A-Z a-z 0-9 . _ ~ : @ -');
    }
    segment = at + 1;
  }
  checkSegment(target, segment, end);
}

function checkSegment(target: string, start: number, end: number): void {
  const length = end - start;
  if (length > 2) return;
  if (length === 0) throw bad(target, 'it has an empty segment');
  const isDots = target.startsWith('..', start) || (length === 1 && target[start] === '.');
  if (isDots) throw bad(target, 'it has a dot segment');
}

function checkQuery(query: string): void {
  for (let at = 0; at < query.length; at += 1) {
    const code = query.charCodeAt(at);
    if (code <= 0x20 || code >= 0x7f || code === 0x23) throw bad(query, 'a query is printable ASCII without a #');
  }
}

function isEncodedSlash(target: string, at: number): boolean {
  return target[at + 1] === '2' && (target[at + 2] === 'F' || target[at + 2] === 'f');
}

function decodeSlashes(text: string): string {
  return text.includes('%') ? text.replace(/%2f/gi, '/') : text;
}

function bad(target: string, why: string): ProxyError {
  return new ProxyError('bad_request', `The request target ${echo(target)} is not valid: ${why}`);
}

function unknown(target: string): ProxyError {
  return new ProxyError('unknown_path', `Nothing is served at ${echo(target)}`);
}
