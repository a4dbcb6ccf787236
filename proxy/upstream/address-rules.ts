import { type LookupAddress, type LookupOptions, lookup as resolve } from 'node:dns';
import type { LookupFunction } from 'node:net';

export interface AddressRules {
  readonly lookup: LookupFunction;
  readonly refuseHost: (host: string) => string | undefined;
}

export function createAddressRules(): AddressRules {
  return { lookup: resolve as unknown as LookupFunction, refuseHost: () => undefined };
}
export type { LookupAddress, LookupOptions };
