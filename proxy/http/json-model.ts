import { ProxyError } from '../errors.ts';
import { scanJson } from './json-scan.ts';

/** The model that a body asks for, and the bytes of its value, quotes included. */
export interface ModelSpan {
  readonly model: string;
  readonly start: number;
  readonly end: number;
  /** Whether the body says `"stream": true`. */
  readonly stream: boolean;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const LETTER_M = 0x6d;
const LETTER_S = 0x73;
const MODEL = Buffer.from('"model"');
const STREAM = Buffer.from('"stream"');
const TRUE = Buffer.from('true');
/** `"stream"` with each letter written as \uXXXX; no longer key is one of ours. */
const LONGEST_KEY_BYTES = 2 + 6 * 'stream'.length;

/**
 * Finds the top-level `model` of a JSON body as a reader of the whole would see it: keys may be escaped, a `model`
 * further down counts for nothing. Throws `invalid_json`, else `duplicate_model`, else `missing_model`.
 */
export function findModel(body: Buffer): ModelSpan {
  let models = 0;
  let start = 0;
  let end = 0;
  let stream = false;
  scanJson(body, (keyStart, valueStart, valueEnd) => {
    const key = keyAt(body, keyStart);
    if (key === 'model') {
      models += 1;
      start = valueStart;
      end = valueEnd;
    } else if (key === 'stream') {
      // Said twice, the last one counts, as for every JSON reader.
      stream = isAt(body, valueStart, TRUE);
    }
  });
  if (models > 1) throw new ProxyError('duplicate_model', 'The body has more than one `model`', { param: 'model' });
  const model = models === 1 && body[start] === QUOTE ? textOf(body, start, end) : '';
  if (model !== '') return { model, start, end, stream };
  const why = models === 0 ? 'The body names no `model`' : '`model` must be a string that is not empty';
  throw new ProxyError('missing_model', why, { param: 'model' });
}

/** Throws `invalid_json` unless the body is JSON; asks for no model. */
export function checkJson(body: Buffer): void {
  scanJson(body, ignore);
}

/** The body with another model and every other byte as it was. */
export function replaceModel(body: Buffer, span: Pick<ModelSpan, 'start' | 'end'>, model: string): Buffer {
  const value = JSON.stringify(model);
  const valueEnd = span.start + Buffer.byteLength(value);
  const replaced = Buffer.allocUnsafe(valueEnd + body.length - span.end);
  body.copy(replaced, 0, 0, span.start);
  replaced.write(value, span.start);
  body.copy(replaced, valueEnd, span.end);
  return replaced;
}

function keyAt(body: Buffer, start: number): string | undefined {
  const first = body[start + 1];
  if (first !== LETTER_M && first !== LETTER_S && first !== BACKSLASH) return undefined;
  if (isAt(body, start, MODEL)) return 'model';
  if (isAt(body, start, STREAM)) return 'stream';
  let at = start + 1;
  let escaped = false;
  for (; body[at] !== QUOTE; at += 1) {
    if (at - start > LONGEST_KEY_BYTES) return undefined;
    if (body[at] !== BACKSLASH) continue;
    escaped = true;
    at += 1;
  }
  return escaped ? textOf(body, start, at + 1) : undefined;
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
