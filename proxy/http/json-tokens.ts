import { ProxyError } from '../errors.ts';

/**
 * The tokens of JSON in bytes. Each `skip…` takes the offset where its token starts, gives the offset after it, and
 * throws `invalid_json` where JSON.parse would throw. The bytes are known to be UTF-8.
 */

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const MINUS = 0x2d;
const DOT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;

/** 1 for what ends a run of plain string bytes: quote, backslash, control characters. */
const SPECIAL = new Uint8Array(256).map((_, byte) => (byte < 0x20 || byte === QUOTE || byte === BACKSLASH ? 1 : 0));
/** 1 for what may follow a backslash by itself. */
const ESCAPED = new Uint8Array(256).map((_, byte) => ('"\\/bfnrt'.includes(String.fromCharCode(byte)) ? 1 : 0));

const LITERALS = new Map(['true', 'false', 'null'].map((word) => [word.charCodeAt(0), Buffer.from(word)]));

/** Words are read with the first byte lowest. */
const IS_LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** The body as aligned words for `skipString`, the first of which may begin up to three bytes before it. */
export function wordsOf(body: Buffer): Int32Array {
  if (!IS_LITTLE_ENDIAN) return new Int32Array(0);
  const shift = body.byteOffset & 3;
  return new Int32Array(body.buffer, body.byteOffset - shift, (body.length + shift) >> 2);
}

/** The byte at an offset, -1 after the end. */
export function byteAt(body: Buffer, at: number): number {
  return at < body.length ? (body[at] as number) : -1;
}

/** Says where the body stops being JSON. */
export function broken(body: Buffer, at: number): never {
  const what = at < body.length ? `unexpected byte at offset ${at}` : 'it ends too early';
  throw new ProxyError('invalid_json', `The body is not JSON: ${what}`);
}

export function skipSpace(body: Buffer, start: number): number {
  let at = start;
  for (;;) {
    const byte = byteAt(body, at);
    if (byte > 0x20 || (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09)) return at;
    at += 1;
  }
}

export function skipString(body: Buffer, words: Int32Array, start: number): number {
  if (byteAt(body, start) !== QUOTE) broken(body, start);
  let at = start + 1;
  for (;;) {
    at = skipPlain(body, words, at);
    const byte = byteAt(body, at);
    if (byte === QUOTE) return at + 1;
    if (byte !== BACKSLASH) broken(body, at);
    at = skipEscape(body, at + 1);
  }
}

/** To the first byte that is not plain, or to the end: four bytes at a time. */
function skipPlain(body: Buffer, words: Int32Array, start: number): number {
  const shift = body.byteOffset & 3;
  let index = (start + shift) >> 2;
  let at = start;
  if (index < words.length) {
    // Bytes of the first word that stand before `start` are made plain.
    const before = (1 << (((start + shift) & 3) << 3)) - 1;
    let marks = specialsOf((words[index] as number) | before);
    while (marks === 0 && ++index < words.length) marks = specialsOf(words[index] as number);
    at = (index << 2) - shift;
    if (marks !== 0) return at + ((31 - Math.clz32(marks & -marks)) >> 3);
  }
  while (at < body.length && SPECIAL[body[at] as number] === 0) at += 1;
  return at;
}

/**
 * Marks, by their high bits, bytes of a word that are special: nothing for none, and the lowest mark is always right.
 * Subtracting sets the high bit of a byte that was below what is subtracted (for equality: of a difference below 1);
 * a byte of 0x80 and above is plain. A borrow can mark only a byte above a special one.
 */
function specialsOf(word: number): number {
  const control = word - 0x20202020;
  const quote = (word ^ 0x22222222) - 0x01010101;
  const backslash = (word ^ 0x5c5c5c5c) - 0x01010101;
  return (control | quote | backslash) & ~word & 0x80808080;
}

function skipEscape(body: Buffer, at: number): number {
  const byte = byteAt(body, at);
  if (byte !== 0x75) return byte !== -1 && ESCAPED[byte] === 1 ? at + 1 : broken(body, at);
  for (let digit = at + 1; digit <= at + 4; digit += 1) if (!isHex(byteAt(body, digit))) broken(body, digit);
  return at + 5;
}

function isHex(byte: number): boolean {
  const lower = byte | 0x20;
  return isDigit(byte) || (lower >= 0x61 && lower <= 0x66);
}

function isDigit(byte: number): boolean {
  return byte >= ZERO && byte <= NINE;
}

/** A number, true, false or null. */
export function skipPlainScalar(body: Buffer, start: number): number {
  const first = byteAt(body, start);
  if (first === MINUS || isDigit(first)) return skipNumber(body, start);
  const word = LITERALS.get(first);
  if (word === undefined) broken(body, start);
  for (let index = 1; index < word.length; index += 1) {
    if (byteAt(body, start + index) !== word[index]) broken(body, start + index);
  }
  return start + word.length;
}

function skipNumber(body: Buffer, start: number): number {
  let at = byteAt(body, start) === MINUS ? start + 1 : start;
  at = byteAt(body, at) === ZERO ? at + 1 : skipDigits(body, at);
  if (byteAt(body, at) === DOT) at = skipDigits(body, at + 1);
  if ((byteAt(body, at) | 0x20) !== 0x65) return at;
  const sign = byteAt(body, at + 1);
  return skipDigits(body, sign === MINUS || sign === 0x2b ? at + 2 : at + 1);
}

/** At least one digit. */
function skipDigits(body: Buffer, start: number): number {
  let at = start;
  while (at < body.length && ((body[at] as number) - ZERO) >>> 0 <= 9) at += 1;
  return at === start ? broken(body, at) : at;
}
