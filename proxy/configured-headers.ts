import type { BackendDocument, Setting } from './config/schema.ts';
import { HOPS_HEADER } from './http/hops.ts';
import { isOurs, isToken, isValue } from './upstream/http1/request-bytes.ts';

/**
 * The headers that a backend's calls carry, flat, names in lower case. What must not be sent is refused here, once and in
 * words, so that the last good version serves on; each call would fail of it.
 * @throws Error that names the header, and tells nothing of its value
 */
export function configuredHeaders(
  { name, headers }: BackendDocument,
  resolved: (setting: Setting) => string,
): string[] {
  return headers.flatMap((header) => {
    const lower = header.name.toLowerCase();
    const value = resolved(header);
    const fault = faultOf(lower, value);
    if (fault !== undefined) throw new Error(`backend ${name}: headers: ${fault}`);
    return [lower, value];
  });
}

function faultOf(name: string, value: string): string | undefined {
  if (!isToken(name)) return `${JSON.stringify(name)} is no name of a header`;
  if (isOurs(name)) return `${name} belongs to the connection and cannot be set`;
  if (name === HOPS_HEADER) return `${name} is for Sluice itself to set`;
  return isValue(value) ? undefined : `the value of ${name} holds a character that no header can`;
}
