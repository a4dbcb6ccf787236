import { expect, test } from 'vitest';
import { judgeUnary, type UnaryFault } from '../../../../proxy/http/answer/unary-verdict.ts';
import { below, document, mutate, seeded } from '../json-fuzz.ts';

const SEED = 20260728;
const BODIES = 60_000;
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function judgeSlowly(body: Buffer): UnaryFault {
  if (body.length === 0) return 'empty';
  let value: unknown;
  try {
    value = JSON.parse(UTF8.decode(body));
  } catch {
    return 'not_json';
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return '';
  const { error } = value as { error?: unknown };
  return error === undefined || error === null ? '' : 'error_in_body';
}

test(`${BODIES} generated answers are judged as JSON.parse would`, () => {
  const random = seeded(SEED);
  // The generator's favourite key, as far as it is not escaped, is the one that counts here.
  const documents = Array.from({ length: 4000 }, () =>
    Buffer.from(document(random).replaceAll('"model"', random() < 0.5 ? '"error"' : '"\\u0065rr\\u006Fr"')),
  );
  const stackTraceLimit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  const seen = new Map<string, number>();
  for (let index = 0; index < BODIES; index += 1) {
    const body = mutate(random, documents[below(random, documents.length)] as Buffer);
    const expected = judgeSlowly(body);
    const { fault } = judgeUnary('', body);
    if (fault !== expected) {
      expect.fail(`seed ${SEED}, body ${index}: ${JSON.stringify(body.toString('latin1'))}: ${fault}, not ${expected}`);
    }
    seen.set(expected, (seen.get(expected) ?? 0) + 1);
  }
  Error.stackTraceLimit = stackTraceLimit;
  for (const fault of ['', 'not_json', 'error_in_body']) expect(seen.get(fault), fault).toBeGreaterThan(BODIES / 20);
});
