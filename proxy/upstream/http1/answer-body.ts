import { parseFields } from './answer-head.ts';
import { malformed } from './client-error.ts';

/** Where in a body the next byte stands. */
const COUNTED = 0;
const UNTIL_CLOSE = 1;
const SIZE = 2;
const EXTENSION = 3;
const SIZE_LF = 4;
const CHUNK = 5;
const CHUNK_CR = 6;
const CHUNK_LF = 7;
const TRAILERS = 8;

const MAX_SIZE_DIGITS = 16;
const MAX_CHUNK_BYTES = 2 ** 48;
const MAX_EXTENSION_BYTES = 1024;
const MAX_TRAILER_BYTES = 16 * 1024;
const LF = 10;
const CR = 13;
const SEMICOLON = 59;

/** Tells the bytes of a body from its framing, wherever reads have cut them apart. One after the other, by `begin`. */
export class AnswerBody {
  /** Where the bytes begin that the last `step` found. */
  dataFrom = 0;
  isWhole = false;
  #state = COUNTED;
  /** Of the body or the chunk. */
  #left = 0;
  #digits = 0;
  #extensionBytes = 0;
  #trailers = '';

  /** Without length and not chunked it goes on until the connection ends. */
  begin(length: number | undefined, isChunked: boolean): void {
    this.#state = isChunked ? SIZE : length === undefined ? UNTIL_CLOSE : COUNTED;
    this.#left = length ?? 0;
    this.#digits = 0;
    this.#trailers = '';
    this.isWhole = length === 0;
  }

  get endsWithConnection(): boolean {
    return this.#state === UNTIL_CLOSE;
  }

  /**
   * Reads on from `at` up to the end of the next run of body bytes, the body's end or that of `bytes`, and gives that place:
   * from `dataFrom` to it are body bytes, maybe none.
   * @throws ERR_UPSTREAM_MALFORMED
   */
  step(bytes: Buffer, at: number): number {
    this.dataFrom = at;
    if (this.#state === UNTIL_CLOSE) return bytes.length;
    if (this.#state !== COUNTED) return this.#chunked(bytes, at);
    const end = this.#takeData(bytes, at);
    this.isWhole = this.#left === 0;
    return end;
  }

  #takeData(bytes: Buffer, at: number): number {
    const end = Math.min(bytes.length, at + this.#left);
    this.#left -= end - at;
    return end;
  }

  #chunked(bytes: Buffer, from: number): number {
    let at = from;
    while (at < bytes.length) {
      if (this.#state === CHUNK) {
        this.dataFrom = at;
        const end = this.#takeData(bytes, at);
        if (this.#left === 0) this.#state = CHUNK_CR;
        return end;
      }
      if (this.#state === TRAILERS) {
        at = this.#readTrailers(bytes, at);
        break;
      }
      this.#frame(bytes[at] as number);
      at += 1;
    }
    this.dataFrom = at;
    return at;
  }

  /** One byte between chunks. */
  #frame(byte: number): void {
    if (this.#state === SIZE) {
      this.#readSize(byte);
    } else if (this.#state === EXTENSION) {
      this.#skipExtension(byte);
    } else if (this.#state === SIZE_LF) {
      expect(byte, LF);
      this.#digits = 0;
      this.#state = this.#left === 0 ? TRAILERS : CHUNK;
    } else if (this.#state === CHUNK_CR) {
      expect(byte, CR);
      this.#state = CHUNK_LF;
    } else {
      expect(byte, LF);
      this.#state = SIZE;
    }
  }

  #readSize(byte: number): void {
    const digit = hexOf(byte);
    if (digit >= 0) {
      this.#digits += 1;
      this.#left = this.#left * 16 + digit;
      if (this.#digits > MAX_SIZE_DIGITS || this.#left > MAX_CHUNK_BYTES) throw malformed('a chunk is too large');
      return;
    }
    if (this.#digits === 0 || (byte !== CR && byte !== SEMICOLON)) throw malformed('a chunk has no proper size');
    this.#state = byte === CR ? SIZE_LF : EXTENSION;
    this.#extensionBytes = 0;
  }

  #skipExtension(byte: number): void {
    this.#extensionBytes += 1;
    if (byte === CR) this.#state = SIZE_LF;
    else if ((byte < 32 && byte !== 9) || byte === 127 || this.#extensionBytes > MAX_EXTENSION_BYTES) {
      throw malformed('a chunk extension is too long or has a control character');
    }
  }

  /** They are checked, so that all agree where the answer ends, and dropped. */
  #readTrailers(bytes: Buffer, at: number): number {
    if (this.#trailers === '' && bytes[at] === CR && bytes[at + 1] === LF) {
      this.isWhole = true;
      return at + 2;
    }
    const before = this.#trailers.length;
    const text = this.#trailers + bytes.toString('latin1', at, Math.min(bytes.length, at + MAX_TRAILER_BYTES + 4));
    const isEmpty = text.startsWith('\r\n');
    const end = isEmpty ? -2 : text.indexOf('\r\n\r\n', Math.max(0, before - 3));
    if ((end === -1 ? text.length : end) > MAX_TRAILER_BYTES) throw malformed('its trailers are too long');
    if (end === -1) {
      this.#trailers = text;
      return bytes.length;
    }
    if (!isEmpty) parseFields(text, 0, end, []);
    this.isWhole = true;
    return at + end + 4 - before;
  }
}

function expect(byte: number, wanted: number): void {
  if (byte !== wanted) throw malformed('a chunk is not followed by CRLF');
}

/** -1 where it is no hexadecimal digit. */
function hexOf(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48;
  const letter = byte | 32;
  return letter >= 97 && letter <= 102 ? letter - 87 : -1;
}
