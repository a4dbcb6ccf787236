/**
 * Every error the proxy answers by itself (CONTRACT §3): one line each, its status and OpenAI's name for its type.
 * `client_timeout` and `timeout` are both `timeout` to the client; the status tells them apart.
 */
const ERRORS = {
  bad_request: { status: 400, type: 'invalid_request_error' },
  invalid_json: { status: 400, type: 'invalid_request_error' },
  missing_model: { status: 400, type: 'invalid_request_error' },
  duplicate_model: { status: 400, type: 'invalid_request_error' },
  invalid_api_key: { status: 401, type: 'authentication_error' },
  model_not_allowed: { status: 403, type: 'permission_error' },
  model_not_found: { status: 404, type: 'invalid_request_error' },
  instance_not_found: { status: 404, type: 'invalid_request_error' },
  unknown_path: { status: 404, type: 'invalid_request_error' },
  method_not_allowed: { status: 405, type: 'invalid_request_error' },
  client_timeout: { status: 408, type: 'invalid_request_error' },
  request_too_large: { status: 413, type: 'invalid_request_error' },
  unsupported_media_type: { status: 415, type: 'invalid_request_error' },
  expectation_failed: { status: 417, type: 'invalid_request_error' },
  rate_limit_exceeded: { status: 429, type: 'rate_limit_error' },
  headers_too_large: { status: 431, type: 'invalid_request_error' },
  internal_error: { status: 500, type: 'server_error' },
  not_implemented: { status: 501, type: 'server_error' },
  upstream_error: { status: 502, type: 'server_error' },
  upstream_disconnected: { status: 502, type: 'server_error' },
  queue_full: { status: 503, type: 'server_error' },
  queue_timeout: { status: 503, type: 'server_error' },
  no_healthy_endpoints: { status: 503, type: 'server_error' },
  access_unavailable: { status: 503, type: 'server_error' },
  overloaded: { status: 503, type: 'server_error' },
  timeout: { status: 504, type: 'server_error' },
} as const satisfies Record<string, { status: number; type: string }>;

export type ErrorCode = keyof typeof ERRORS;

/** What a ProxyError knows beside its code and words. */
export interface ErrorDetails {
  /** For the Retry-After header: whole seconds, at least 1. */
  readonly retryAfterSeconds?: number;
  /** The field of the request that is at fault, as in OpenAI's errors. */
  readonly param?: string;
  /** For the Allow header of a 405: the methods that are. */
  readonly allow?: string;
  readonly cause?: unknown;
}

/** A request that ends with one of our own answers. Its message goes to the client: no key, no body, no stack. */
export class ProxyError extends Error {
  override readonly name = 'ProxyError';
  readonly code: ErrorCode;
  readonly status: number;
  readonly param: string | undefined;
  readonly retryAfterSeconds: number | undefined;
  readonly allow: string | undefined;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.status = ERRORS[code].status;
    this.param = details.param;
    this.retryAfterSeconds = details.retryAfterSeconds;
    this.allow = details.allow;
  }
}

/** The status line's number for a code. */
export function statusOf(code: ErrorCode): number {
  return ERRORS[code].status;
}

/** OpenAI's error body, as JSON in UTF-8. */
export function errorBody(code: ErrorCode, message: string, param?: string): Buffer {
  const shown = code === 'client_timeout' ? 'timeout' : code;
  return Buffer.from(
    JSON.stringify({ error: { message, type: ERRORS[code].type, param: param ?? null, code: shown } }),
  );
}

const ECHOED_BYTES = 1024;

/** A client's own words for use in a message: in quotes, cut to 1 KiB of UTF-8. */
export function echo(input: string): string {
  if (input.length * 3 <= ECHOED_BYTES) return `'${input}'`;
  const bytes = Buffer.from(input.slice(0, ECHOED_BYTES));
  if (bytes.length <= ECHOED_BYTES && input.length <= ECHOED_BYTES) return `'${input}'`;
  const end = wholeCharacters(bytes, Math.min(bytes.length, ECHOED_BYTES));
  return `'${bytes.toString('utf8', 0, end)}…'`;
}

/** The largest end ≤ `end` that cuts no character in two. */
function wholeCharacters(bytes: Buffer, end: number): number {
  let cut = end;
  while (cut > 0 && cut < bytes.length && ((bytes[cut] ?? 0) & 0xc0) === 0x80) cut -= 1;
  return cut;
}
