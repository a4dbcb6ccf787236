import { type ErrorCode, ProxyError } from '../errors.ts';
import { CODES, type Status } from './codes.ts';

/**
 * What an error of the shared parts (access, limits, queue) is in gRPC's words. Overload is UNAVAILABLE: it is the proxy
 * that is short, not the caller's quota, and clients and meshes try UNAVAILABLE again, at another proxy.
 */
const CODE_OF: Partial<Record<ErrorCode, keyof typeof CODES>> = {
  invalid_api_key: 'UNAUTHENTICATED',
  model_not_allowed: 'PERMISSION_DENIED',
  ...{ access_unavailable: 'UNAVAILABLE', overloaded: 'UNAVAILABLE' },
  ...{
    rate_limit_exceeded: 'RESOURCE_EXHAUSTED',
    queue_full: 'RESOURCE_EXHAUSTED',
    queue_timeout: 'RESOURCE_EXHAUSTED',
  },
};

export function statusOfError({ code, message }: ProxyError): Status {
  return { code: CODES[CODE_OF[code] ?? 'INTERNAL'], message };
}

/** The status of a ProxyError that `act` throws, or what it gives. */
export function orStatus<T>(act: () => T): T | Status {
  try {
    return act();
  } catch (error) {
    if (error instanceof ProxyError) return statusOfError(error);
    throw error;
  }
}
