import { ProxyError } from '../errors.ts';

/**
 * How many Sluice proxies a request has passed, which each tells the next. One may well call another; but a url that
 * leads back would make of one call as many as its timeout allows. It also says to the admin door that somebody comes
 * through a pool.
 */
export const HOPS_HEADER = 'x-sluice-hops';

const MAX_HOPS = 8;
const COUNT = /^\d{1,3}$/;

/** What the header says; too many where that is no count. */
export function hopsOf(value: string): number {
  return COUNT.test(value) ? Number(value) : MAX_HOPS;
}

/** No 5xx: the proxy before would try again, and so would each before that. */
export function faultOfHops(hops: number): ProxyError | undefined {
  if (hops < MAX_HOPS) return undefined;
  const message = `The request has passed ${MAX_HOPS} Sluice proxies: a url leads back to Sluice`;
  return new ProxyError('bad_request', message);
}
