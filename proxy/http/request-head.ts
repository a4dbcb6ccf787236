import { echo, ProxyError } from '../errors.ts';
import { faultOfHops, HOPS_HEADER, hopsOf } from './hops.ts';
import { isTraceparent, type Trace } from './trace.ts';

/**
 * What Sluice itself reads of a request's head, found in one pass over the raw list: `req.headers` would build an
 * object of all of them for each request.
 */
export interface RequestHead {
  /** As sent; empty: none. */
  readonly contentType: string;
  /** Undefined for none, or for a body in chunks. */
  readonly contentLength: number | undefined;
  /** The client's own id, the first where it sent several, where it is short and harmless in a header and a log; else empty. */
  readonly requestId: string;
  readonly hasRequestId: boolean;
  /** Its x-request-id header may go upstream as it is: there is one, and it is `requestId`. */
  readonly requestIdPasses: boolean;
  readonly expectsContinue: boolean;
  readonly isMultipart: boolean;
  readonly trace: Trace;
  /** Sluice proxies it has passed before this one. */
  readonly hops: number;
  /** Why the request must not be served; undefined where it may. */
  readonly fault: ProxyError | undefined;
}

const REQUEST_ID = /^[\w.:/+=@-]{1,128}$/;

/** Never throws: a fault is part of what is found, so that its answer can carry the client's request id. */
export function readHead(req: { rawHeaders: readonly string[]; httpVersionMinor: number }): RequestHead {
  const { rawHeaders, httpVersionMinor } = req;
  let hosts = 0;
  let contentTypes = 0;
  let contentType = '';
  let contentLength: number | undefined;
  let requestIds = 0;
  let requestId = '';
  let traceparents = 0;
  let trace: Trace = 'none';
  let expectsContinue = false;
  let hops = 0;
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
    else if (lower === 'x-request-id') {
      requestIds += 1;
      if (requestIds === 1 && REQUEST_ID.test(value)) requestId = value;
    } else if (lower === 'traceparent') {
      traceparents += 1;
      trace = traceparents === 1 && isTraceparent(value) ? 'valid' : 'broken';
    } else if (lower === 'tracestate') {
      if (trace === 'none') trace = 'broken';
    } else if (lower === 'expect') {
      // RFC 9110, 10.1.1: of an HTTP/1.0 client it means nothing.
      if (httpVersionMinor > 0 && value.toLowerCase() === '100-continue') expectsContinue = true;
      else if (httpVersionMinor > 0) fault ??= faultOfExpectation(value);
    } else if (lower === 'upgrade') fault ??= faultOfUpgrade(value);
    else if (lower === 'transfer-encoding') fault ??= faultOfTransferEncoding(value, httpVersionMinor);
    else if (lower === 'content-encoding') fault ??= faultOfContentEncoding(value);
    else if (lower === HOPS_HEADER) hops = Math.max(hops, hopsOf(value));
    else {
      contentType = value;
      contentTypes += 1;
    }
  }
  if (hops > 0) fault ??= faultOfHops(hops);
  if (contentTypes > 1) fault = new ProxyError('bad_request', 'the request has more than one Content-Type header');
  if (hosts !== 1) fault = faultOfHosts(hosts, httpVersionMinor) ?? fault;
  const isMultipart = contentType.length > 10 && contentType.slice(0, 10).toLowerCase() === 'multipart/';
  const requestIdPasses = requestIds === 1 && requestId !== '';
  return {
    contentType,
    contentLength,
    requestId,
    hasRequestId: requestIds > 0,
    requestIdPasses,
    expectsContinue,
    isMultipart,
    trace,
    hops,
    fault,
  };
}

const READ = [
  ...['host', 'content-type', 'content-length', 'expect', 'upgrade', 'x-request-id', 'traceparent', 'tracestate'],
  ...['transfer-encoding', 'content-encoding', HOPS_HEADER],
];

/** Most headers are told apart by their length alone. */
const READ_BY_LENGTH: readonly (readonly string[] | undefined)[] = Array.from({ length: 32 }, (_, length) => {
  const names = READ.filter((name) => name.length === length);
  return names.length === 0 ? undefined : names;
});

function faultOfHosts(hosts: number, httpVersionMinor: number): ProxyError | undefined {
  if (hosts > 1) return new ProxyError('bad_request', 'the request has more than one Host header');
  return httpVersionMinor === 0 ? undefined : new ProxyError('bad_request', 'the request has no Host header');
}

function faultOfExpectation(value: string): ProxyError {
  return new ProxyError('expectation_failed', `Expect: ${echo(value)} is not known here; 100-continue is`);
}

/** HTTP/2 is an offer that a server may leave alone (RFC 9113, 3.1); a WebSocket is all that its client came for. */
function faultOfUpgrade(value: string): ProxyError | undefined {
  if (value === '' || value.toLowerCase() === 'h2c') return undefined;
  return new ProxyError('not_implemented', `Upgrade to ${echo(value)} is not served: this is plain HTTP/1.1`);
}

function faultOfTransferEncoding(value: string, httpVersionMinor: number): ProxyError | undefined {
  if (httpVersionMinor === 0) return new ProxyError('bad_request', 'HTTP/1.0 knows no Transfer-Encoding');
  if (value.toLowerCase() === 'chunked') return undefined;
  return new ProxyError('bad_request', 'the only Transfer-Encoding is chunked');
}

function faultOfContentEncoding(value: string): ProxyError | undefined {
  if (value === '' || value.toLowerCase() === 'identity') return undefined;
  return new ProxyError('unsupported_media_type', 'encoded bodies are not read: send it without Content-Encoding');
}
