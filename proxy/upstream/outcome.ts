import { REFUSED_ADDRESS } from './guarded-lookup.ts';

/**
 * The one table of what an attempt came to and what follows. Labels are those of `sluice_attempts_total`.
 * `retry`: another endpoint may still answer the client. `answers`: the upstream's own answer may be passed on when
 * nothing better comes.
 */
export type Outcome =
  | 'success'
  | 'client_error'
  | 'credential'
  | 'rate_limited'
  | 'server_error'
  | 'timeout'
  | 'connect'
  | 'cut'
  | 'cancelled'
  | 'malformed';

/** By the status line of an answer. */
export function outcomeOfStatus(status: number): Outcome {
  if (status === 429 || status === 529) return 'rate_limited';
  if (status === 408 || status >= 500) return 'server_error';
  if (status === 401 || status === 403) return 'credential';
  if (status >= 400) return 'client_error';
  return 'success';
}

const RETRIED: ReadonlySet<Outcome> = new Set([
  'rate_limited',
  'server_error',
  'credential',
  'timeout',
  'connect',
  'cut',
  'malformed',
]);

/** Whether the request goes on to another endpoint, as long as no byte of an answer has gone out. */
export function isRetried(outcome: Outcome): boolean {
  return RETRIED.has(outcome);
}

/** Whether, with nothing left to try, the client gets this answer as it came; a credential fault is ours, not his. */
export function passesThrough(outcome: Outcome): boolean {
  return outcome === 'rate_limited' || outcome === 'server_error';
}

const CONNECT_CODES: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EHOSTDOWN',
  'EADDRNOTAVAIL',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ETIMEDOUT',
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_CLOSED',
  'UND_ERR_DESTROYED',
  REFUSED_ADDRESS,
]);

/** By the error that undici gave in place of an answer. TLS faults have many codes and come before any byte. */
export function outcomeOfError(error: Error): Outcome {
  const code = codeOf(error);
  if (CONNECT_CODES.has(code) || isTls(code)) return 'connect';
  if (code.startsWith('HPE_') || code === 'UND_ERR_HEADERS_OVERFLOW') return 'malformed';
  if (code === 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH') return 'cut';
  return code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT' ? 'timeout' : 'cut';
}

/** Whether it is the sign of a kept connection that the server had closed: the answer never began. */
export function isConnectionLoss(error: Error): boolean {
  const code = codeOf(error);
  return code === 'UND_ERR_SOCKET' || code === 'ECONNRESET' || code === 'EPIPE';
}

/** The code of an error or of its cause; of several tried addresses, that of the first. */
function codeOf(error: Error): string {
  const { code, cause, errors } = error as Error & { code?: unknown; errors?: readonly Error[] };
  if (typeof code === 'string') return code;
  if (errors?.[0] !== undefined) return codeOf(errors[0]);
  return cause instanceof Error ? codeOf(cause) : '';
}

function isTls(code: string): boolean {
  return code.startsWith('ERR_TLS_') || code.startsWith('ERR_SSL_') || CERTIFICATE.test(code) || code === 'EPROTO';
}

const CERTIFICATE = /CERT|SELF_SIGNED|UNABLE_TO_/;
