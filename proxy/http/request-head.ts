import { ProxyError } from '../errors.ts';

/**
 * What Sluice itself reads of a request's head, found in one pass over the raw list: `req.headers` would build an
 * object of all of them for each request.
 */
export interface RequestHead {
  /** As sent; empty: none. */
  readonly contentType: string;
  /** Undefined for none, or for a body in chunks. */
  readonly contentLength: number | undefined;
  /** The client's own id, where it is short and harmless in a header and a log; else empty. */
  readonly requestId: string;
  readonly expectsContinue: boolean;
  readonly isMultipart: boolean;
  /** Why the request must not be served; undefined where it may. */
  readonly fault: ProxyError | undefined;
}

const REQUEST_ID = /^[\w.:/+=@-]{1,128}$/;

/** Never throws: a fault is part of what is found, so that its answer can carry the client's request id. */
export function readHead(req: { rawHeaders: readonly string[]; httpVersionMinor: number }): RequestHead {
  const { rawHeaders } = req;
  let hosts = 0;
  let contentTypes = 0;
  let contentType = '';
  let contentLength: number | undefined;
  let requestId = '';
  let expectsContinue = false;
  let fault: ProxyError | undefined;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] as string;
    const read = READ_BY_LENGTH[name.length];
    if (read === undefined) continue;
    const lower = name.toLowerCase();
    if (!read.includes(lower)) continue;
    const value = rawHeaders[index + 1] as string;
    if (lower === 'host') hosts += 1;
    else if (lower === 'content-length') contentLength = Number(value);
    else if (lower === 'expect') expectsContinue = true;
    else if (lower === 'x-request-id') requestId = REQUEST_ID.test(value) ? value : '';
    else if (lower === 'transfer-encoding') fault ??= faultOfTransferEncoding(value, req.httpVersionMinor);
    else if (lower === 'content-encoding') fault ??= faultOfContentEncoding(value);
    else {
      contentType = value;
      contentTypes += 1;
    }
  }
  if (hosts > 1) fault = new ProxyError('bad_request', 'the request has more than one Host header');
  if (contentTypes > 1) fault = new ProxyError('bad_request', 'the request has more than one Content-Type header');
  const isMultipart = contentType.length > 10 && contentType.slice(0, 10).toLowerCase() === 'multipart/';
  return { contentType, contentLength, requestId, expectsContinue, isMultipart, fault };
}

const READ = [
  ...['host', 'content-type', 'content-length', 'expect', 'x-request-id'],
  ...['transfer-encoding', 'content-encoding'],
];

/** Most headers are told apart by their length alone. */
const READ_BY_LENGTH: readonly (readonly string[] | undefined)[] = Array.from({ length: 32 }, (_, length) => {
  const names = READ.filter((name) => name.length === length);
  return names.length === 0 ? undefined : names;
});

function faultOfTransferEncoding(value: string, httpVersionMinor: number): ProxyError | undefined {
  if (httpVersionMinor === 0) return new ProxyError('bad_request', 'HTTP/1.0 knows no Transfer-Encoding');
  if (value.toLowerCase() === 'chunked') return undefined;
  return new ProxyError('bad_request', 'the only Transfer-Encoding is chunked');
}

function faultOfContentEncoding(value: string): ProxyError | undefined {
  if (value === '' || value.toLowerCase() === 'identity') return undefined;
  return new ProxyError('unsupported_media_type', 'encoded bodies are not read: send it without Content-Encoding');
}
