import type { ClientErrorCode } from './connection.ts';

/** An error that this client itself found. */
export function clientError(code: ClientErrorCode, message: string): Error {
  return Object.assign(new Error(message), { code });
}

/** The answer breaks the rules of HTTP/1, so that nothing on its connection can be trusted. */
export function malformed(why: string): Error {
  return clientError('ERR_UPSTREAM_MALFORMED', `the answer is malformed: ${why}`);
}

export function isMalformed(error: unknown): error is Error {
  return (error as { code?: unknown }).code === ('ERR_UPSTREAM_MALFORMED' satisfies ClientErrorCode);
}
