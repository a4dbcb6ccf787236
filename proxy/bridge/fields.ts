import { ProxyError } from '../errors.ts';

/** The members of a body, none of them looked at yet. */
export type Fields = Readonly<Record<string, unknown>>;

/** Of a body that is known to be JSON. @throws ProxyError bad_request where it is no object. */
export function fieldsOf(body: Buffer): Fields {
  const value: unknown = JSON.parse(body.toString());
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Fields;
  throw new ProxyError('bad_request', 'The body must be a JSON object');
}

/** Why a field cannot be served; `must` goes on after "must be". */
export function wrong(field: string, must: string): ProxyError {
  return new ProxyError('bad_request', `\`${field}\` must be ${must}`, { param: field });
}

/** @throws ProxyError where it is no string, as do all below where a value is not what they are named for. */
export function textIn(fields: Fields, field: string): string {
  const value = fields[field];
  if (typeof value === 'string') return value;
  throw wrong(field, 'a string');
}

/** Absent and null are the same, here and below. */
export function textOrNone(fields: Fields, field: string): string | undefined {
  return isAbsent(fields[field]) ? undefined : textIn(fields, field);
}

export function flagIn(fields: Fields, field: string, absent: boolean): boolean {
  const value = fields[field];
  if (isAbsent(value)) return absent;
  if (typeof value === 'boolean') return value;
  throw wrong(field, 'true or false');
}

/** A whole number from 1 on that 32 bits hold. */
export function countOrNone(fields: Fields, field: string): number | undefined {
  const value = fields[field];
  if (isAbsent(value)) return undefined;
  if (isUint32(value) && value > 0) return value;
  throw wrong(field, 'a whole number above 0');
}

/** One text, or a list of at least one. Token ids are refused in words: tei.v1 has texts only. */
export function textsIn(fields: Fields, field: string): readonly string[] {
  const value = fields[field];
  if (typeof value === 'string') return [value];
  if (isListOf(value, isText)) return value;
  const isTokens = Array.isArray(value) && value.some((item) => typeof item === 'number' || Array.isArray(item));
  throw wrong(field, isTokens ? 'text: an instance that speaks gRPC takes no token ids' : TEXTS);
}

/** One list of token ids, or a list of such lists; none of them empty. */
export function idListsIn(fields: Fields, field: string): readonly (readonly number[])[] {
  const value = fields[field];
  if (isListOf(value, isUint32)) return [value];
  if (isListOf(value, isIds)) return value;
  throw wrong(field, 'a list of token ids, or a list of such lists');
}

/** A list of at least one. */
export function isListOf<T>(value: unknown, isItem: (item: unknown) => item is T): value is readonly T[] {
  return Array.isArray(value) && value.length > 0 && value.every(isItem);
}

export function isText(value: unknown): value is string {
  return typeof value === 'string';
}

export function isAbsent(value: unknown): value is undefined | null {
  return value === undefined || value === null;
}

const TEXTS = 'a string or a list of strings that is not empty';

function isIds(value: unknown): value is readonly number[] {
  return isListOf(value, isUint32);
}

function isUint32(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < 2 ** 32;
}
