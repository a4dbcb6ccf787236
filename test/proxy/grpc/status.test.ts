import { status as grpcStatus } from '@grpc/grpc-js';
import { expect, test } from 'vitest';
import { CODES, nameOf, status } from '../../../proxy/grpc/codes.ts';
import {
  decodeMessage,
  encodeMessage,
  readStatus,
  statusHeaders,
  statusOfHttp,
  statusOfReset,
  trailersOf,
  trailersOnly,
} from '../../../proxy/grpc/status.ts';
import { formatTimeout, parseTimeout } from '../../../proxy/grpc/timeout.ts';

test('codes have the numbers that grpc-js gives them', () => {
  for (const [name, code] of Object.entries(CODES)) {
    expect(grpcStatus[name as keyof typeof CODES]).toBe(code);
    expect(nameOf(code)).toBe(name);
  }
  expect(nameOf(99)).toBe('UNKNOWN');
});

test.each(["Instance 'x' not found", 'héllo 100 % ✓', 'line\nbreak', '%41', ''])(
  'the message %j comes back as it was',
  (message) => {
    const encoded = encodeMessage(message);
    expect(encoded).toMatch(/^[\x20-\x7e]*$/);
    expect(decodeMessage(encoded)).toBe(message);
  },
);

test('a message that is no percent-encoding stays, half a character does not throw, a long one is cut', () => {
  expect(decodeMessage('100 %')).toBe('100 %');
  expect(decodeMessage('%ff%41')).toBe('%ff%41');
  expect(encodeMessage('\ud800')).toBe('%EF%BF%BD');
  expect(encodeMessage('x'.repeat(5_000)).length).toBe(1024);
});

test('a status is read back from the trailers it was written to', () => {
  const end = status('NOT_FOUND', 'Instance ü not found');
  expect(readStatus(statusHeaders(end))).toEqual(end);
  expect(readStatus(['x', 'y'])).toBeUndefined();
  expect(readStatus(['grpc-status', 'nonsense'])).toEqual(status('UNKNOWN', ''));
  expect(readStatus(['grpc-status', '0'])).toEqual(status('OK', ''));
  expect(trailersOnly(end, ['x-a', 'b'])).toEqual([
    ...[':status', '200', 'content-type', 'application/grpc', 'grpc-status', '5'],
    ...['grpc-message', 'Instance %C3%BC not found', 'x-a', 'b'],
  ]);
});

test('trailers keep several values of one name, and no name is special', () => {
  const trailers = trailersOf(['a', '1', 'a', '2', '__proto__', 'x', 'a', '3']);
  expect(trailers['a']).toEqual(['1', '2', '3']);
  expect(Object.keys(trailers)).toEqual(['a', '__proto__']);
});

test.each([
  [0, 'INTERNAL'],
  [1, 'INTERNAL'],
  [2, 'INTERNAL'],
  [7, 'UNAVAILABLE'],
  [8, 'UNAVAILABLE'],
  [11, 'RESOURCE_EXHAUSTED'],
  [12, 'PERMISSION_DENIED'],
  [200, 'INTERNAL'],
])('a reset with HTTP/2 code %i is %s', (code, name) => {
  expect(nameOf(statusOfReset(code).code)).toBe(name);
});

test.each([
  [400, 'INTERNAL'],
  [401, 'UNAUTHENTICATED'],
  [403, 'PERMISSION_DENIED'],
  [404, 'UNIMPLEMENTED'],
  [429, 'UNAVAILABLE'],
  [500, 'UNKNOWN'],
  [503, 'UNAVAILABLE'],
])('HTTP status %i is %s', (code, name) => {
  expect(nameOf(statusOfHttp(code).code)).toBe(name);
});

test('timeouts are read in every unit, and nonsense is none', () => {
  expect(['1H', '2M', '3S', '4m', '5000u', '6000000n', '99999999H'].map(parseTimeout)).toEqual([
    3_600_000, 120_000, 3_000, 4, 5, 6, 2_147_483_647,
  ]);
  expect(['', 'm', '1', '1x', '123456789m', '-1m', ' 1m', '1.5S', '1 m'].map(parseTimeout)).toEqual(
    Array(9).fill(undefined),
  );
});

test('a timeout is written so that no more than what is left is read from it', () => {
  for (const ms of [0.0001, 0.5, 1, 999.9, 10_000.7, 90_000_001, 2 ** 31 - 1]) {
    const read = parseTimeout(formatTimeout(ms));
    expect(read).toBeLessThanOrEqual(Math.max(ms, 0.001));
    expect(read).toBeGreaterThan(0);
  }
});
