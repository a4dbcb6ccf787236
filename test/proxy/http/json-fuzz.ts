/** Seeded bodies for the fuzzing of the JSON reader, and a slow reader to compare it with. */

export type Random = () => number;

/** mulberry32: the same seed gives the same bodies on every machine. */
export function seeded(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function below(random: Random, limit: number): number {
  return Math.floor(random() * limit);
}

function oneOf<T>(random: Random, items: readonly T[]): T {
  return items[below(random, items.length)] as T;
}

const SPACES = ['', '', '', '', ' ', '\n', '\t', '\r\n', '  '];
const KEYS = [
  'model',
  'model',
  'model',
  'stream',
  'stream',
  'messages',
  'modem',
  'mode',
  'models',
  's',
  '',
  '__proto__',
];
const PIECES = [
  'a',
  'gpt-4o',
  'é',
  '😀',
  '\u2028',
  '\x7f',
  '\\n',
  '\\"',
  '\\\\',
  '\\/',
  '\\u0041',
  '\\ud800',
  '\\uDBFF\\udc00',
  'x'.repeat(9),
];
const NUMBERS = ['0', '-0', '1', '-12', '0.5', '1e3', '1E+3', '2.50e-7', '123456789012345678901234567890', '1e999'];
const ODDITIES = [
  '01',
  '.5',
  '1.',
  '+1',
  '-',
  '1e',
  '1e+',
  'NaN',
  'tru',
  'True',
  "'a'",
  'undefined',
  '\ufeff',
  '/**/',
  '',
  '"a',
  '\\u12',
];

/** JSON more often than not; its objects like the keys that matter. */
export function document(random: Random): string {
  const space = (): string => oneOf(random, SPACES);
  const top = random() < 0.9 ? objectText(random, 4) : valueText(random, 3);
  return `${space()}${top}${space()}`;
}

function valueText(random: Random, depth: number): string {
  const kind = below(random, depth > 0 ? 9 : 6);
  if (kind <= 2) return stringText(random, below(random, 5));
  if (kind === 3) return oneOf(random, NUMBERS);
  if (kind === 4) return oneOf(random, ['true', 'false', 'null', 'true']);
  if (kind === 5) return random() < 0.1 ? oneOf(random, ODDITIES) : '""';
  return kind === 6 ? arrayText(random, depth - 1) : objectText(random, depth - 1);
}

function stringText(random: Random, pieces: number): string {
  return `"${Array.from({ length: pieces }, () => oneOf(random, PIECES)).join('')}"`;
}

function arrayText(random: Random, depth: number): string {
  return `[${listText(random, () => valueText(random, depth))}]`;
}

function objectText(random: Random, depth: number): string {
  const space = oneOf(random, SPACES);
  return `{${listText(random, () => `${keyText(random)}${space}:${space}${valueText(random, depth)}`)}}`;
}

function listText(random: Random, item: () => string): string {
  const space = oneOf(random, SPACES);
  return space + Array.from({ length: below(random, 5) }, item).join(`${space},${space}`) + space;
}

function keyText(random: Random): string {
  const isEscaped = random() < 0.3;
  const letters = [...oneOf(random, KEYS)].map((letter) => {
    if (!isEscaped || random() < 0.5) return letter;
    const code = letter.charCodeAt(0).toString(16).padStart(4, '0');
    return `\\u${random() < 0.5 ? code : code.toUpperCase()}`;
  });
  return `"${letters.join('')}"`;
}

const BYTES = [
  ...Buffer.from('"\\{}[]:,0123456789.-+eEu/tfn \n\t\r#!]^}~model'),
  0,
  0x1f,
  0x0b,
  0x7f,
  0x80,
  0xbf,
  0xc0,
  0xe2,
  0xed,
  0xef,
  0xf4,
  0xff,
];

/** Half as it is, half with up to three bytes changed, taken out, put in or repeated, at a chosen alignment, among bytes not its own. */
export function mutate(random: Random, text: Buffer): Buffer {
  const changes = Math.max(0, below(random, 6) - 2);
  let bytes = text;
  for (let change = 0; change < changes && bytes.length > 0; change += 1) {
    const at = below(random, bytes.length);
    const rest = at + below(random, 3);
    const put = Buffer.from(random() < 0.7 ? [oneOf(random, BYTES)] : bytes.subarray(at, at + below(random, 12)));
    bytes = Buffer.concat([bytes.subarray(0, at), put, bytes.subarray(rest)]);
  }
  const shift = below(random, 8);
  const room = Buffer.alloc(shift + bytes.length + 8, oneOf(random, BYTES));
  bytes.copy(room, shift);
  return room.subarray(shift, shift + bytes.length);
}

export type Reading =
  | { code: 'invalid_json' | 'duplicate_model' | 'missing_model' }
  | { model: string; stream: boolean };

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** What a body asks for, by JSON.parse and a walk over its characters. */
export function readSlowly(body: Buffer): Reading {
  let text: string;
  let value: unknown;
  try {
    text = UTF8.decode(body);
    value = JSON.parse(text);
  } catch {
    return { code: 'invalid_json' };
  }
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
  const models = isObject ? topLevelKeys(text).filter((key) => key === 'model').length : 0;
  if (models > 1) return { code: 'duplicate_model' };
  if (models === 0) return { code: 'missing_model' };
  const { model, stream } = value as { model: unknown; stream?: unknown };
  return typeof model === 'string' && model !== '' ? { model, stream: stream === true } : { code: 'missing_model' };
}

/** Of an object known to be JSON: a string before a colon at depth 1 is a key. */
function topLevelKeys(text: string): string[] {
  const keys: string[] = [];
  let depth = 0;
  let last = '';
  for (let at = 0; at < text.length; at += 1) {
    const char = text[at];
    if (char === '"') {
      const start = at;
      for (at += 1; text[at] !== '"'; at += 1) if (text[at] === '\\') at += 1;
      last = text.slice(start, at + 1);
    } else if (char === '{' || char === '[') {
      depth += 1;
    } else if (char === '}' || char === ']') {
      depth -= 1;
    } else if (char === ':' && depth === 1) {
      keys.push(JSON.parse(last));
    }
  }
  return keys;
}
