import { malformed } from './client-error.ts';

/** What the head of an answer says. */
export interface AnswerHead {
  readonly status: number;
  /** Flat: name, value, …; names in lower case. */
  readonly headers: string[];
  /** Of the body, where the head gives it. */
  readonly length: number | undefined;
  readonly isChunked: boolean;
  /** The server lets its connection be used again. */
  readonly isKept: boolean;
  /** For how long, where it says so. */
  readonly keptSeconds: number | undefined;
}

/**
 * Of `text`, read as latin1, up to `end`, where the empty line's CRLFCRLF stands. As strict as llhttp: what two parsers could
 * read in two ways is refused.
 * @throws ERR_UPSTREAM_MALFORMED
 */
export function parseHead(text: string, end: number): AnswerHead {
  const status = statusOf(text);
  const isOld = text.charCodeAt(7) === ZERO;
  const headers: string[] = [];
  parseFields(text, endOfReason(text) + 2, end, headers);
  let length: number | undefined;
  let isChunked = false;
  let isKept = !isOld;
  let keptSeconds: number | undefined;
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index] as string;
    // Most names are none of these; their lengths tell it without a comparison.
    if (name.length !== 10 && name.length !== 14 && name.length !== 17) continue;
    const value = headers[index + 1] as string;
    if (name === 'content-length') {
      if (length !== undefined) throw malformed('content-length is given twice');
      length = lengthOf(value);
    } else if (name === 'transfer-encoding') {
      if (isOld || isChunked || value.toLowerCase() !== 'chunked') throw malformed('transfer-encoding is not chunked');
      isChunked = true;
    } else if (name === 'connection') {
      if (value !== 'keep-alive' && value.toLowerCase().includes('close')) isKept = false;
    } else if (name === 'keep-alive') {
      const seconds = TIMEOUT.exec(value)?.[1];
      if (seconds !== undefined) keptSeconds = Number(seconds);
    }
  }
  if (isChunked && length !== undefined) throw malformed('both content-length and transfer-encoding are given');
  return { status, headers, length, isChunked, isKept, keptSeconds };
}

/**
 * Appends the header or trailer lines of text between `from` and `end`, where the last line's CRLF stands.
 * @throws ERR_UPSTREAM_MALFORMED
 */
export function parseFields(text: string, from: number, end: number, headers: string[]): void {
  let at = from;
  while (at < end) {
    const nameEnd = endOfName(text, at);
    if (nameEnd === at || text.charCodeAt(nameEnd) !== COLON) throw malformed('a header has no proper name');
    let first = nameEnd + 1;
    while (isBlank(text.charCodeAt(first))) first += 1;
    const lineEnd = endOfLine(text, first);
    let last = lineEnd;
    while (last > first && isBlank(text.charCodeAt(last - 1))) last -= 1;
    headers.push(text.slice(at, nameEnd).toLowerCase(), text.slice(first, last));
    at = lineEnd + 2;
  }
}

/** `HTTP/1.x NNN`; what follows the code is checked by `endOfReason`. */
function statusOf(text: string): number {
  const minor = text.charCodeAt(7) - ZERO;
  const a = text.charCodeAt(9) - ZERO;
  const b = text.charCodeAt(10) - ZERO;
  const c = text.charCodeAt(11) - ZERO;
  const isNumber = a >= 1 && a <= 9 && b >= 0 && b <= 9 && c >= 0 && c <= 9;
  if (!text.startsWith('HTTP/1.') || (minor !== 0 && minor !== 1) || text.charCodeAt(8) !== SPACE || !isNumber) {
    throw malformed('it does not begin with an HTTP/1 status line');
  }
  return a * 100 + b * 10 + c;
}

function endOfReason(text: string): number {
  const after = text.charCodeAt(12);
  if (after !== SPACE && after !== CR) throw malformed('its status is not three digits');
  return endOfLine(text, 12);
}

function endOfName(text: string, from: number): number {
  let at = from;
  while (IS_TOKEN[text.charCodeAt(at)] === 1) at += 1;
  return at;
}

/** Where the CRLF of this line stands, with nothing on the way that must not be in a line. */
function endOfLine(text: string, from: number): number {
  let at = from;
  for (;;) {
    const code = text.charCodeAt(at);
    if (code < SPACE ? code !== TAB : code === DELETE) break;
    at += 1;
  }
  if (text.charCodeAt(at) !== CR || text.charCodeAt(at + 1) !== LF) throw malformed('a line has a control character');
  return at;
}

/** Fifteen digits: exact as a number. */
function lengthOf(value: string): number {
  if (!/^\d{1,15}$/.test(value)) throw malformed('content-length is not a number');
  return Number(value);
}

function isBlank(code: number): boolean {
  return code === SPACE || code === TAB;
}

const TIMEOUT = /(?:^|[\s,;])timeout=(\d{1,9})(?!\d)/i;
const TAB = 9;
const LF = 10;
const CR = 13;
const SPACE = 32;
const ZERO = 48;
const COLON = 58;
const DELETE = 127;

/** By character code: whether RFC 9110 lets it be in a method or a header's name. */
export const IS_TOKEN: Uint8Array = Uint8Array.from({ length: 256 }, (_, code) =>
  /[!#$%&'*+\-.^_`|~0-9A-Za-z]/.test(String.fromCharCode(code)) ? 1 : 0,
);
