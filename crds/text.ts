import * as z from 'zod';
import { type Fault, keyword, rule } from './rule.ts';

export interface TextOptions {
  /** In characters, as the API server counts them: an emoji is one. */
  readonly max: number;
  readonly min?: number;
  /** Must mean the same in RE2 and in JavaScript: no flags, no lookahead, no \s, no dot. */
  readonly pattern?: string;
  /** Said where the pattern does not match. */
  readonly message?: string;
}

/** A string with bounds. */
export function text({ max, min = 0, pattern, message = `must match ${pattern}` }: TextOptions): z.ZodString {
  const expression = pattern === undefined ? undefined : new RegExp(pattern);
  const keywords = {
    maxLength: max,
    ...(min > 0 && { minLength: min }),
    ...(pattern !== undefined && { pattern }),
  };
  return keyword(z.string(), keywords, (value) => {
    const length = [...value].length;
    const faults: Fault[] = [];
    if (length > max) faults.push({ path: [], message: `must have at most ${max} characters` });
    if (length < min) faults.push({ path: [], message: `must have at least ${min} characters` });
    if (expression !== undefined && !expression.test(value)) faults.push({ path: [], message });
    return faults;
  });
}

const DNS_LABEL = '[a-z0-9]([-a-z0-9]*[a-z0-9])?';
/** A header name or an authentication scheme, RFC 9110 §5.6.2. */
export const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
/** What may stand in a path: RFC 3986 pchar, percent signs and slashes. */
export const PATH = "[A-Za-z0-9._~!$&'()*+,;=:@%/-]*";
/** Anything but control characters. */
const PRINTABLE = '[^\\x00-\\x1f\\x7f]';

/** A name of a Kubernetes object within its namespace. */
export const objectName = text({
  min: 1,
  max: 253,
  pattern: `^${DNS_LABEL}([.]${DNS_LABEL})*$`,
  message: 'must be the name of an object: lower-case letters, digits, "-" and "."',
});

export const dnsLabel = text({
  min: 1,
  max: 63,
  pattern: `^${DNS_LABEL}$`,
  message: 'must be a DNS label: lower-case letters, digits and "-"',
});

/** A model's name, as clients and upstream servers spell it. */
export const modelName = text({
  min: 1,
  max: 256,
  pattern: `^${PRINTABLE}+$`,
  message: 'must not hold control characters',
});

export const headerName = text({
  min: 1,
  max: 256,
  pattern: `^${TOKEN}$`,
  message: 'must be a header name: letters, digits and the signs of RFC 9110',
});

/** Headers that belong to the connection or frame the body: set by hand they would break or smuggle a request. */
const OF_THE_CONNECTION =
  'connection content-length expect host keep-alive proxy-connection te trailer transfer-encoding upgrade'.split(' ');

/** A header that may be set on a call. */
export const settableHeader = rule(headerName, {
  cel: `!(self.lowerAscii() in [${OF_THE_CONNECTION.map((name) => `'${name}'`).join(', ')}])`,
  message: `must not be a header of the connection itself: ${OF_THE_CONNECTION.join(', ')}`,
  check: (name) => !OF_THE_CONNECTION.includes(name.toLowerCase()),
});
