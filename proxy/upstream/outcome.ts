import { REFUSED_ADDRESS } from './guarded-lookup.ts';

/** The labels of `sluice_attempts_total` (CONTRACT §6). */
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

/**
 * What an attempt says of its endpoint. `failure`: so many in a row rest it; `limit`: it rests at once; `alive`: it
 * answers, the row of failures is over; `none`: nothing.
 */
export type Verdict = 'failure' | 'limit' | 'alive' | 'none';

interface Row {
  readonly outcome: Outcome;
  /** Another endpoint may still answer the client, as long as no byte of an answer has gone out. */
  readonly retried: boolean;
  /** The client may be given the upstream's own answer; a credential fault is ours, not his. */
  readonly passes: boolean;
  readonly verdict: Verdict;
}

const answered = { retried: false, passes: true, verdict: 'alive' } as const;
const failed = { retried: true, passes: false, verdict: 'failure' } as const;
/** It broke after bytes went to the client, which cannot be taken back. */
const tooLate = { retried: false, passes: false, verdict: 'failure' } as const;
const over = { retried: false, passes: false, verdict: 'none' } as const;

/** The one table of what an attempt came to and what follows (CONTRACT §3): for unary answers, events and gRPC. */
const CAUSES = {
  ok: { ...answered, outcome: 'success' },
  client_error: { ...answered, outcome: 'client_error' },
  credential: { outcome: 'credential', retried: true, passes: false, verdict: 'alive' },
  rate_limited: { outcome: 'rate_limited', retried: true, passes: true, verdict: 'limit' },
  /** 408. */
  request_timeout: { outcome: 'server_error', retried: true, passes: true, verdict: 'failure' },
  server_error: { outcome: 'server_error', retried: true, passes: true, verdict: 'failure' },
  /** gRPC's INTERNAL and the like: the call itself may be what breaks it, and TEI says so of a batch it cannot compute. */
  broken: { outcome: 'server_error', retried: false, passes: true, verdict: 'failure' },

  refused: { ...failed, outcome: 'connect' },
  dns: { ...failed, outcome: 'connect' },
  tls: { ...failed, outcome: 'connect' },
  connect_timeout: { ...failed, outcome: 'connect' },
  /** Its name means nothing but addresses that must not be called. */
  address_refused: { ...failed, outcome: 'connect' },
  /** Nothing went out for a reason of our own: a setting or a header that HTTP cannot carry, no file descriptor left. */
  not_sent: { ...failed, outcome: 'connect', verdict: 'none' },

  /** Lost before the first byte of the body. */
  reset: { ...failed, outcome: 'cut' },
  /** Lost after it, but what came was held. */
  truncated: { ...failed, outcome: 'cut' },
  first_byte_timeout: { ...failed, outcome: 'timeout' },
  /** Silent in mid-answer; retried where what came was held. */
  stall: { ...failed, outcome: 'timeout' },
  cut_in_answer: { ...tooLate, outcome: 'cut' },

  malformed_http: { ...failed, outcome: 'malformed' },
  empty: { ...failed, outcome: 'malformed' },
  not_json: { ...failed, outcome: 'malformed' },
  wrong_type: { ...failed, outcome: 'malformed' },
  error_in_body: { ...failed, outcome: 'malformed' },
  /** Events that err or end before the first with content. */
  no_content: { ...failed, outcome: 'malformed' },

  /** The client's body broke on its way, or is not as long as it said. */
  upload_broken: { ...over, outcome: 'cancelled' },
  client_left: { ...over, outcome: 'cancelled' },
  deadline: { ...over, outcome: 'timeout' },
} as const satisfies Record<string, Row>;

/** How an attempt ended, as finely as anything depends on it. */
export type Cause = keyof typeof CAUSES;

export function outcomeOf(cause: Cause): Outcome {
  return CAUSES[cause].outcome;
}

/** Whether the request goes on to another endpoint, as long as no byte of an answer has gone out. */
export function isRetried(cause: Cause): boolean {
  return CAUSES[cause].retried;
}

/** Whether, with nothing left to try, the client gets this answer as it came. */
export function passesThrough(cause: Cause): boolean {
  return CAUSES[cause].passes;
}

export function verdictOf(cause: Cause): Verdict {
  return CAUSES[cause].verdict;
}

/** By the status line of an answer. */
export function causeOfStatus(status: number): Cause {
  if (status < 400) return 'ok';
  if (status === 429 || status === 529) return 'rate_limited';
  if (status >= 500) return 'server_error';
  if (status === 408) return 'request_timeout';
  return status === 401 || status === 403 ? 'credential' : 'client_error';
}

/** By the name of gRPC's code in an upstream's own status. */
export function causeOfGrpcCode(code: string): Cause {
  return BY_GRPC_CODE[code] ?? 'client_error';
}

const BY_GRPC_CODE: Readonly<Record<string, Cause>> = {
  OK: 'ok',
  UNAVAILABLE: 'server_error',
  RESOURCE_EXHAUSTED: 'rate_limited',
  ...{ UNAUTHENTICATED: 'credential', PERMISSION_DENIED: 'credential' },
  ...{ INTERNAL: 'broken', UNKNOWN: 'broken', DATA_LOSS: 'broken', CANCELLED: 'broken' },
  // The deadline is the client's, or ours: the upstream only saw it first.
  DEADLINE_EXCEEDED: 'deadline',
};

const BY_CODE: Readonly<Record<string, Cause>> = {
  ...{ ECONNREFUSED: 'refused', EHOSTUNREACH: 'refused', ENETUNREACH: 'refused', EHOSTDOWN: 'refused' },
  ...{ ENETDOWN: 'refused', EACCES: 'refused', EPERM: 'refused' },
  ...{ ENOTFOUND: 'dns', ENODATA: 'dns', ESERVFAIL: 'dns', EPROTO: 'tls' },
  ...{ ETIMEDOUT: 'connect_timeout', ERR_UPSTREAM_CONNECT_TIMEOUT: 'connect_timeout' },
  [REFUSED_ADDRESS]: 'address_refused',
  ...{ EMFILE: 'not_sent', ENFILE: 'not_sent', ENOBUFS: 'not_sent', EADDRNOTAVAIL: 'not_sent' },
  ...{ ERR_INVALID_HEADER: 'not_sent', ERR_UPSTREAM_CLOSED: 'not_sent' },
  ERR_UPSTREAM_MALFORMED: 'malformed_http',
  ERR_UPSTREAM_BODY_LENGTH: 'upload_broken',
};

/** By the error that came in place of an answer, or in the middle of one: `hasBytes` says that its body had begun. */
export function causeOfError(error: Error, hasBytes: boolean): Cause {
  const cause = causeOfCode(codeOf(error));
  // A connection that is up can still time out or lose its route: then it was not the connecting that failed.
  if (cause === undefined || (hasBytes && outcomeOf(cause) === 'connect')) return hasBytes ? 'truncated' : 'reset';
  return cause;
}

function causeOfCode(code: string): Cause | undefined {
  if (Object.hasOwn(BY_CODE, code)) return BY_CODE[code];
  if (code.startsWith('EAI_')) return 'dns';
  return TLS.test(code) ? 'tls' : undefined;
}

/** OpenSSL's own codes are many; they all come before the first byte of an answer. */
const TLS = /^ERR_(TLS|SSL|OSSL)_|CERT|SELF_SIGNED|UNABLE_TO_|HOSTNAME_MISMATCH|PATH_LENGTH|INVALID_(CA|PURPOSE)/;

/** By the error in place of a connection. */
export function causeOfConnectError(error: Error): Cause {
  return causeOfCode(codeOf(error)) ?? 'refused';
}

/** Whether it is the sign of a kept connection that the server had closed: the answer never began. */
export function isConnectionLoss(error: Error): boolean {
  const code = codeOf(error);
  return code === 'ERR_UPSTREAM_CUT' || code === 'ECONNRESET' || code === 'EPIPE' || code === 'ECONNABORTED';
}

/** The code of an error or of its cause; of several tried addresses, that of the first. */
function codeOf(error: Error): string {
  const { code, cause, errors } = error as Error & { code?: unknown; errors?: readonly Error[] };
  if (typeof code === 'string') return code;
  if (errors?.[0] !== undefined) return codeOf(errors[0]);
  return cause instanceof Error ? codeOf(cause) : '';
}
