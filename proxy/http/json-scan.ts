import { isUtf8 } from 'node:buffer';
import { ProxyError } from '../errors.ts';
import { broken, byteAt, skipPlainScalar, skipSpace, skipString, wordsOf } from './json-tokens.ts';

/**
 * Told of each member of a top-level object once its value is read: offsets of the key's opening quote, of the value's
 * first byte, and one past its last.
 */
export type OnMember = (keyStart: number, valueStart: number, valueEnd: number) => void;

/** Deeper nesting is refused. JSON.parse knows no limit, but no model server reads a thousandth of this. */
export const MAX_DEPTH = 1_000_000;

const OBJECT = 0x7b;
const ARRAY = 0x5b;
const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;

/** OBJECT or ARRAY for each open container; grows as deep as a body goes and serves every call. */
let kinds = new Uint8Array(256);

/**
 * Reads a body once; throws `invalid_json` unless it is UTF-8 that JSON.parse would read. Builds nothing, so it is
 * faster than JSON.parse and leaves no garbage.
 */
export function scanJson(body: Buffer, onMember: OnMember): void {
  if (!isUtf8(body)) throw new ProxyError('invalid_json', 'The body is not JSON: it is not valid UTF-8');
  const words = wordsOf(body);
  const start = skipSpace(body, 0);
  const isObject = byteAt(body, start) === OBJECT;
  const end = isObject ? skipMembers(body, words, start, onMember) : skipValue(body, words, start);
  const rest = skipSpace(body, end);
  if (rest < body.length) broken(body, rest);
}

/** The members of the object that begins at `start`, in a body that was scanned. */
export function eachMember(body: Buffer, start: number, onMember: OnMember): void {
  if (byteAt(body, start) === OBJECT) skipMembers(body, wordsOf(body), start, onMember);
}

/**
 * The items of the array that begins at `start`, in a body that was scanned: offsets of each and one past its last,
 * until `onItem` wants no more.
 */
export function eachItem(body: Buffer, start: number, onItem: (start: number, end: number) => boolean): void {
  const words = wordsOf(body);
  let at = skipSpace(body, start + 1);
  if (byteAt(body, start) !== ARRAY || byteAt(body, at) === closing(ARRAY)) return;
  for (;;) {
    const end = skipValue(body, words, at);
    if (!onItem(at, end)) return;
    const next = skipSpace(body, end);
    if (byteAt(body, next) !== COMMA) return;
    at = skipSpace(body, next + 1);
  }
}

function skipMembers(body: Buffer, words: Int32Array, start: number, onMember: OnMember): number {
  let at = skipSpace(body, start + 1);
  if (byteAt(body, at) === closing(OBJECT)) return at + 1;
  for (;;) {
    const valueStart = skipKey(body, words, at);
    const valueEnd = skipValue(body, words, valueStart);
    onMember(at, valueStart, valueEnd);
    at = skipSpace(body, valueEnd);
    const next = byteAt(body, at);
    if (next === closing(OBJECT)) return at + 1;
    if (next !== COMMA) broken(body, at);
    at = skipSpace(body, at + 1);
  }
}

/** A loop with a stack of its own: recursion would end at some ten thousand levels. */
function skipValue(body: Buffer, words: Int32Array, start: number): number {
  let depth = 0;
  let at = start;
  for (;;) {
    const first = byteAt(body, at);
    if (first === OBJECT || first === ARRAY) {
      at = skipSpace(body, at + 1);
      if (byteAt(body, at) === closing(first)) {
        at += 1;
      } else {
        depth = open(at, depth, first);
        if (first === OBJECT) at = skipKey(body, words, at);
        continue;
      }
    } else {
      at = first === QUOTE ? skipString(body, words, at) : skipPlainScalar(body, at);
    }
    for (; depth > 0; depth -= 1) {
      const kind = kinds[depth - 1] as number;
      at = skipSpace(body, at) + 1;
      const next = byteAt(body, at - 1);
      if (next === COMMA) {
        at = skipSpace(body, at);
        if (kind === OBJECT) at = skipKey(body, words, at);
        break;
      }
      if (next !== closing(kind)) broken(body, at - 1);
    }
    if (depth === 0) return at;
  }
}

/** A key, its colon and the space around: gives the offset of the value. */
function skipKey(body: Buffer, words: Int32Array, start: number): number {
  const at = skipSpace(body, skipString(body, words, start));
  if (byteAt(body, at) !== COLON) broken(body, at);
  return skipSpace(body, at + 1);
}

/** ']' and '}' stand two after '[' and '{'. */
function closing(kind: number): number {
  return kind + 2;
}

function open(at: number, depth: number, kind: number): number {
  if (depth + 1 >= MAX_DEPTH) {
    throw new ProxyError('invalid_json', `The body nests deeper than ${MAX_DEPTH} levels at offset ${at}`);
  }
  if (depth === kinds.length) {
    const larger = new Uint8Array(kinds.length * 2);
    larger.set(kinds);
    kinds = larger;
  }
  kinds[depth] = kind;
  return depth + 1;
}
