import { type LookupAddress, lookup as systemLookup } from 'node:dns';
import type { LookupFunction } from 'node:net';
import type { RefuseHost } from '../config/upstream-address.ts';

/** The code of the error for a name that resolves to nothing but addresses that must not be called. */
export const REFUSED_ADDRESS = 'ERR_UPSTREAM_ADDRESS_REFUSED';

/**
 * A lookup that hides addresses that must not be called: what a name resolved to when its CR was read says nothing of
 * what it resolves to now (DNS rebinding), so every new connection asks again.
 */
export function guardedLookup(refuse: RefuseHost, resolve: typeof systemLookup = systemLookup): LookupFunction {
  return (hostname, options, callback) => {
    resolve(hostname, { ...options, all: true }, (error, addresses) => {
      if (error !== null) return callback(error, '');
      const usable = addresses.filter(({ address }) => refuse(address) === undefined);
      const [first] = usable;
      if (first === undefined) return callback(refused(hostname, addresses, refuse), '');
      if (options.all === true) (callback as unknown as AllCallback)(null, usable);
      else callback(null, first.address, first.family);
    });
  };
}

type AllCallback = (error: null, addresses: LookupAddress[]) => void;

function refused(hostname: string, addresses: readonly LookupAddress[], refuse: RefuseHost): Error {
  const [first] = addresses;
  const why = first === undefined ? 'has no address' : `resolves to ${first.address}, which ${refuse(first.address)}`;
  return Object.assign(new Error(`${hostname} ${why}`), { code: REFUSED_ADDRESS });
}
