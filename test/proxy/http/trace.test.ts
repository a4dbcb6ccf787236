import { describe, expect, test } from 'vitest';
import { readHead } from '../../../proxy/http/request-head.ts';
import { createTraceparents, isTraceparent, withTrace } from '../../../proxy/http/trace.ts';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const PARENT = '00f067aa0ba902b7';
const VALID = `00-${TRACE}-${PARENT}-01`;

/** The headers that go upstream for these, with `NEW` for a trace of ours. */
function sent(...headers: string[]): string[] {
  const { trace } = readHead({ rawHeaders: ['Host', 'x', ...headers], httpVersionMinor: 1 });
  return withTrace([...headers], trace, () => 'NEW');
}

describe('a traceparent', () => {
  test.each([
    VALID,
    `00-${TRACE}-${PARENT}-00`,
    `00-${TRACE}-${PARENT}-ff`,
    `cc-${TRACE}-${PARENT}-01`,
    `cc-${TRACE}-${PARENT}-01-more`,
  ])('%s means something', (value) => {
    expect(isTraceparent(value)).toBe(true);
  });

  test.each([
    ['nothing', ''],
    ['upper case', VALID.toUpperCase()],
    ['no version', `${TRACE}-${PARENT}-01`],
    ['the forbidden version', `ff-${TRACE}-${PARENT}-01`],
    ['a trace of zeros', `00-${'0'.repeat(32)}-${PARENT}-01`],
    ['a parent of zeros', `00-${TRACE}-${'0'.repeat(16)}-01`],
    ['a short trace', `00-${TRACE.slice(1)}-${PARENT}-01`],
    ['more than version 00 has', `${VALID}-more`],
    ['more without a dash', `cc-${TRACE}-${PARENT}-01more`],
    ['a letter beyond f', VALID.replace('4b', '4g')],
    ['a space in front', ` ${VALID}`],
    ['two in one', `${VALID}, ${VALID}`],
  ])('of %s means nothing', (_, value) => {
    expect(isTraceparent(value)).toBe(false);
  });
});

describe('what goes upstream', () => {
  test.each([
    ['a valid one as it came, with its state', ['Traceparent', VALID, 'tracestate', 'a=1', 'tracestate', 'b=2'], false],
    ['the same where the state comes first', ['tracestate', 'a=1', 'traceparent', VALID], false],
    ['a new one for none', [], true],
    ['a new one for a broken one, without its state', ['traceparent', 'x', 'Tracestate', 'a=1'], true],
    ['a new one for a state alone', ['tracestate', 'a=1'], true],
    ['a new one for two', ['traceparent', VALID, 'traceparent', VALID, 'tracestate', 'a=1'], true],
    ['a new one for one good and one bad', ['traceparent', VALID, 'TRACEPARENT', 'x'], true],
  ])('is %s', (_, headers, isNew) => {
    expect(sent('x-a', 'b', ...headers)).toEqual(['x-a', 'b', ...(isNew ? ['traceparent', 'NEW'] : headers)]);
  });
});

describe('traceparents of our own', () => {
  test('are valid and sampled, and no two are the same over many batches', () => {
    let filled = 0;
    const next = createTraceparents((bytes) => {
      filled += 1;
      for (let at = 0; at < bytes.length; at += 4) bytes.writeUInt32LE((filled * 100_000 + at + 1) >>> 0, at);
    });
    const made = Array.from({ length: 1_000 }, next);
    expect(new Set(made).size).toBe(1_000);
    expect(new Set(made.map((value) => value.slice(3, 35))).size).toBe(1_000);
    expect(made.every(isTraceparent)).toBe(true);
    expect(made.every((value) => value.endsWith('-01'))).toBe(true);
    expect(filled).toBe(4);
  });
});
