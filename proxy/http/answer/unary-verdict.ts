import { ProxyError } from '../../errors.ts';
import { scanJson } from '../json-scan.ts';
import { type Usage, usageAt } from './usage.ts';

/** What is wrong with a 200 of a JSON API; empty: nothing. */
export type UnaryFault = '' | 'empty' | 'wrong_type' | 'not_json' | 'error_in_body';

export interface UnaryVerdict {
  readonly fault: UnaryFault;
  /** Undefined where the answer says none, or is at fault. */
  readonly usage: Usage | undefined;
}

const FAULTS = {
  empty: { fault: 'empty', usage: undefined },
  wrong_type: { fault: 'wrong_type', usage: undefined },
  not_json: { fault: 'not_json', usage: undefined },
  error_in_body: { fault: 'error_in_body', usage: undefined },
} as const satisfies Record<Exclude<UnaryFault, ''>, UnaryVerdict>;

const FINE: UnaryVerdict = { fault: '', usage: undefined };

/** Whether a 200 at this path is JSON. Audio and files are what they are, TEI's health has no body. */
export function expectsJson(path: string): boolean {
  const isAudio = path.startsWith('/audio/') || path.startsWith('/v1/audio/');
  return !isAudio && !path.endsWith('/content') && path !== '/health';
}

/**
 * Judges a whole 200 of a JSON API: it has to be JSON by its type, if it has one, and by every byte, and its top-level
 * `error`, if it has one, null. One pass, in which `usage` is found too.
 */
export function judgeUnary(contentType: string, body: Buffer): UnaryVerdict {
  if (body.length === 0) return FAULTS.empty;
  if (contentType !== '' && !isJsonType(contentType)) return FAULTS.wrong_type;
  let hasError = false;
  let usageStart = -1;
  try {
    scanJson(body, (keyStart, valueStart) => {
      const key = keyAt(body, keyStart, valueStart);
      if (key === 'error') hasError = body[valueStart] !== LETTER_N;
      else if (key === 'usage') usageStart = valueStart;
    });
  } catch (error) {
    if (error instanceof ProxyError) return FAULTS.not_json;
    throw error;
  }
  if (hasError) return FAULTS.error_in_body;
  const usage = usageStart === -1 ? undefined : usageAt(body, usageStart);
  return usage === undefined ? FINE : { fault: '', usage };
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
/** Of JSON's values only null begins with it. */
const LETTER_N = 0x6e;

const JSON_TYPE = /^\s*(?:application\/json|[^\s/;]+\/[^\s/;]+\+json)\s*(?:;|$)/i;

function isJsonType(contentType: string): boolean {
  return contentType === 'application/json' || JSON_TYPE.test(contentType);
}

const ERROR = Buffer.from('"error"');
const USAGE = Buffer.from('"usage"');

/** The key at `start`, where it is one of the two that count; its value is known to begin at `valueStart`. */
function keyAt(body: Buffer, start: number, valueStart: number): 'error' | 'usage' | undefined {
  const letter = body[start + 1];
  const word = letter === ERROR[1] ? ERROR : USAGE;
  if (letter !== word[1] && letter !== BACKSLASH) return undefined;
  for (let index = 1; index < word.length; index += 1) {
    const byte = body[start + index];
    if (byte === BACKSLASH) return unescapedKey(body, start, valueStart);
    if (byte !== word[index]) return undefined;
  }
  return word === ERROR ? 'error' : 'usage';
}

function unescapedKey(body: Buffer, start: number, valueStart: number): 'error' | 'usage' | undefined {
  const end = body.lastIndexOf(QUOTE, valueStart - 1) + 1;
  const key: unknown = JSON.parse(body.toString('latin1', start, end));
  return key === 'error' || key === 'usage' ? key : undefined;
}
