import { ProxyError } from '../errors.ts';
import { scanJson } from './json-scan.ts';

/** What routing reads of a body: the model it asks for, where that stands, and what bears on limits and balancing. */
export interface BodyFacts {
  readonly model: string;
  /** The bytes of the model's value, quotes included. */
  readonly start: number;
  readonly end: number;
  /** Whether the body says `"stream": true`. */
  readonly stream: boolean;
  /** Tokens that the answer may have at most, where the body says so. */
  readonly maxTokens: number | undefined;
  /** Values as they stand in the body; undefined: none. */
  readonly promptCacheKey: Span | undefined;
  readonly user: Span | undefined;
  /** `messages`, `prompt` or `input`. */
  readonly prompt: Span | undefined;
}

export interface Span {
  readonly start: number;
  readonly end: number;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const TRUE = Buffer.from('true');

/** What each top-level key that is read means. */
const KEYS = {
  model: 'model',
  messages: 'prompt',
  max_tokens: 'maxTokens',
  max_completion_tokens: 'maxTokens',
  max_output_tokens: 'maxTokens',
  stream: 'stream',
  prompt: 'prompt',
  prompt_cache_key: 'promptCacheKey',
  user: 'user',
  input: 'prompt',
} as const;
type Meaning = (typeof KEYS)[keyof typeof KEYS];

/** By first letter: the keys in quotes. */
const BY_LETTER: readonly (readonly { readonly quoted: Buffer; readonly meaning: Meaning }[] | undefined)[] =
  Array.from({ length: 128 }, (_, letter) => {
    const found = Object.entries(KEYS).filter(([key]) => key.charCodeAt(0) === letter);
    if (found.length === 0) return undefined;
    return found.map(([key, meaning]) => ({ quoted: Buffer.from(`"${key}"`), meaning }));
  });

/** The longest key with each letter written as \uXXXX; no longer key is one of ours. */
const LONGEST_KEY_BYTES = 2 + 6 * Math.max(...Object.keys(KEYS).map((key) => key.length));

/**
 * Reads a JSON body as a reader of the whole would see it: keys may be escaped, what stands further down counts for
 * nothing, and of a key said twice the last one counts. Throws `invalid_json`, else `duplicate_model`, else
 * `missing_model`.
 */
export function readFacts(body: Buffer): BodyFacts {
  let models = 0;
  let start = 0;
  let end = 0;
  let stream = false;
  let maxTokens: number | undefined;
  let promptCacheKey: Span | undefined;
  let user: Span | undefined;
  let prompt: Span | undefined;
  scanJson(body, (keyStart, valueStart, valueEnd) => {
    const meaning = meaningAt(body, keyStart);
    if (meaning === undefined) return;
    if (meaning === 'model') {
      models += 1;
      start = valueStart;
      end = valueEnd;
    } else if (meaning === 'stream') stream = isAt(body, valueStart, TRUE);
    else if (meaning === 'maxTokens') maxTokens = countAt(body, valueStart, valueEnd);
    else if (meaning === 'prompt') prompt = { start: valueStart, end: valueEnd };
    else if (meaning === 'user') user = { start: valueStart, end: valueEnd };
    else promptCacheKey = { start: valueStart, end: valueEnd };
  });
  if (models > 1) throw new ProxyError('duplicate_model', 'The body has more than one `model`', { param: 'model' });
  const model = models === 1 && body[start] === QUOTE ? textOf(body, start, end) : '';
  if (model !== '') return { model, start, end, stream, maxTokens, promptCacheKey, user, prompt };
  const why = models === 0 ? 'The body names no `model`' : '`model` must be a string that is not empty';
  throw new ProxyError('missing_model', why, { param: 'model' });
}

/** Throws `invalid_json` unless the body is JSON; asks for no model. */
export function checkJson(body: Buffer): void {
  scanJson(body, ignore);
}

/** The body with another model and every other byte as it was. */
export function replaceModel(body: Buffer, span: Span, model: string): Buffer {
  const value = JSON.stringify(model);
  const valueEnd = span.start + Buffer.byteLength(value);
  const replaced = Buffer.allocUnsafe(valueEnd + body.length - span.end);
  body.copy(replaced, 0, 0, span.start);
  replaced.write(value, span.start);
  body.copy(replaced, valueEnd, span.end);
  return replaced;
}

function meaningAt(body: Buffer, start: number): Meaning | undefined {
  const letter = body[start + 1] as number;
  if (letter === BACKSLASH) return escapedMeaning(body, start);
  const candidates = BY_LETTER[letter];
  if (candidates === undefined) return undefined;
  for (const { quoted, meaning } of candidates) if (isAt(body, start, quoted)) return meaning;
  return escapedMeaning(body, start);
}

/** Of a key that has an escape in it somewhere. */
function escapedMeaning(body: Buffer, start: number): Meaning | undefined {
  let at = start + 1;
  let escaped = false;
  for (; body[at] !== QUOTE; at += 1) {
    if (at - start > LONGEST_KEY_BYTES) return undefined;
    if (body[at] !== BACKSLASH) continue;
    escaped = true;
    at += 1;
  }
  const key = escaped ? textOf(body, start, at + 1) : '';
  return Object.hasOwn(KEYS, key) ? KEYS[key as keyof typeof KEYS] : undefined;
}

/** A number of things; undefined for anything else. */
function countAt(body: Buffer, start: number, end: number): number | undefined {
  const value = Number(body.toString('latin1', start, end));
  return Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}

function isAt(body: Buffer, start: number, word: Buffer): boolean {
  for (let index = 0; index < word.length; index += 1) if (body[start + index] !== word[index]) return false;
  return true;
}

/** The text of a JSON string known to be valid. */
function textOf(body: Buffer, start: number, end: number): string {
  for (let at = start; at < end; at += 1) {
    if (body[at] === BACKSLASH) return JSON.parse(body.toString('utf8', start, end)) as string;
  }
  return body.toString('utf8', start + 1, end - 1);
}

function ignore(): void {}
