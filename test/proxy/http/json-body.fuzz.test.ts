import { expect, test } from 'vitest';
import { ProxyError } from '../../../proxy/errors.ts';
import { readFacts } from '../../../proxy/http/json-body.ts';
import { below, document, mutate, type Reading, readSlowly, seeded } from './json-fuzz.ts';

const SEED = 20260601;
const BODIES = 1_200_000;
const DOCUMENTS = 15_000;

function read(body: Buffer): Reading {
  try {
    const { model, stream, start, end } = readFacts(body);
    if (JSON.parse(body.toString('utf8', start, end)) !== model) throw new Error('the span is not the value');
    return { model, stream };
  } catch (error) {
    if (!(error instanceof ProxyError)) throw error;
    return { code: error.code as 'invalid_json' };
  }
}

function isSame(a: Reading, b: Reading): boolean {
  if ('code' in a || 'code' in b) return 'code' in a && 'code' in b && a.code === b.code;
  return a.model === b.model && a.stream === b.stream;
}

test(`${BODIES} generated bodies are read as JSON.parse reads them`, { timeout: 180_000 }, () => {
  const random = seeded(SEED);
  const seen = new Map<string, number>();
  let documents: Buffer[] = [];
  const stackTraceLimit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  for (let index = 0; index < BODIES; index += 1) {
    if (index % (BODIES / 10) === 0) documents = Array.from({ length: DOCUMENTS }, () => Buffer.from(document(random)));
    const body = mutate(random, documents[below(random, DOCUMENTS)] as Buffer);
    const expected = readSlowly(body);
    const got = read(body);
    if (!isSame(got, expected)) {
      expect.fail(
        `seed ${SEED}, body ${index}: ${JSON.stringify(body.toString('latin1'))}: ${JSON.stringify({ got, expected })}`,
      );
    }
    const kind = 'code' in expected ? expected.code : 'model';
    seen.set(kind, (seen.get(kind) ?? 0) + 1);
  }
  Error.stackTraceLimit = stackTraceLimit;
  // A generator that only makes broken bodies would prove nothing.
  for (const kind of ['invalid_json', 'duplicate_model', 'missing_model', 'model']) {
    expect(seen.get(kind), kind).toBeGreaterThan(BODIES / 40);
  }
});

test('every short text stands for a value exactly when JSON.parse reads it', () => {
  const bytes = [...'"\\u0129-+.eEtrufalsn[]{},: \n#', '\x00', '\x1f', '\x7f', '\x80'];
  let bodies = 0;
  for (const a of ['', ...bytes]) {
    for (const b of ['', ...bytes]) {
      for (const c of ['', ...bytes]) {
        const body = Buffer.from(`{"x":${a}${b}${c},"model":"m"}`, 'latin1');
        expect(isSame(read(body), readSlowly(body)), JSON.stringify(body.toString('latin1'))).toBe(true);
        bodies += 1;
      }
    }
  }
  expect(bodies).toBeGreaterThan(20_000);
});
