import { isIP } from 'node:net';

/** Where to listen: without a host, on every address. */
export interface Address {
  readonly host: string | undefined;
  readonly port: number;
}

export interface Cidr {
  readonly address: string;
  readonly prefix: number;
  readonly family: 'ipv4' | 'ipv6';
}

/** A value that cannot be read; the message says what would be one. */
export class ValueError extends Error {}

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
const UNIT_BYTES: Readonly<Record<string, number>> = { B: 1, Ki: 1024, Mi: 1024 ** 2, Gi: 1024 ** 3 };

/** `250ms`, `1m30s`, `0s`, in milliseconds. */
export function readDuration(text: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)];
  if (parts.length === 0 || parts.map(([part]) => part).join('') !== text) {
    throw new ValueError('is not a duration, as 250ms, 90s, 1m30s');
  }
  return parts.reduce((sum, [, amount, unit]) => sum + Number(amount) * (UNIT_MS[unit ?? ''] ?? 0), 0);
}

/** `1048576`, `100MiB` or `100Mi`, in bytes. */
export function readBytes(text: string): number {
  const [, amount, unit = 'B'] = /^(\d{1,12})(?:(Ki|Mi|Gi)B?)?$/.exec(text) ?? [];
  if (amount === undefined) throw new ValueError('is not a number of bytes, as 1048576, 512KiB, 100MiB, 1GiB');
  return Number(amount) * (UNIT_BYTES[unit] ?? 1);
}

/** `:8080`, `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`; port 0 is any free one. */
export function readAddress(text: string): Address {
  const [, bracketed, plain, digits] = /^(?:\[([^\]]+)\]|([^:[\]\s/]*)):(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  const host = bracketed ?? plain;
  if (digits === undefined || port > 65_535 || (bracketed !== undefined && isIP(bracketed) !== 6)) {
    throw new ValueError('is not an address, as :8080, 127.0.0.1:8080, [::1]:8080');
  }
  return { host: host === '' ? undefined : host, port };
}

/** `10.0.0.0/8,fd00::/8`; an address alone is that address. */
export function readCidrs(text: string): readonly Cidr[] {
  return readList(text).map(readCidr);
}

function readCidr(text: string): Cidr {
  const [, address = '', digits] = /^([0-9a-fA-F.:]+)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const version = isIP(address);
  const bits = version === 4 ? 32 : 128;
  const prefix = digits === undefined ? bits : Number(digits);
  if (version === 0 || prefix > bits) throw new ValueError('is not a list of CIDRs, as 10.0.0.0/8,fd00::/8');
  return { address, prefix, family: version === 4 ? 'ipv4' : 'ipv6' };
}

/** Parts between commas, trimmed; empty ones do not count. */
export function readList(text: string): readonly string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

export function readInteger(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new ValueError('is not a whole number, 0 or more');
  return Number(text);
}

export function readBoolean(text: string): boolean {
  if (text === 'true' || text === '1') return true;
  if (text === 'false' || text === '0' || text === '') return false;
  throw new ValueError('is neither true nor false');
}
