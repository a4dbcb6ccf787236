import { describe, expect, test } from 'vitest';
import { echo, errorBody, ProxyError, statusOf } from '../../proxy/errors.ts';

describe('the error table', () => {
  test.each([
    ['invalid_json', 400, 'invalid_request_error'],
    ['missing_model', 400, 'invalid_request_error'],
    ['duplicate_model', 400, 'invalid_request_error'],
    ['bad_request', 400, 'invalid_request_error'],
    ['invalid_api_key', 401, 'authentication_error'],
    ['model_not_allowed', 403, 'permission_error'],
    ['model_not_found', 404, 'invalid_request_error'],
    ['instance_not_found', 404, 'invalid_request_error'],
    ['unknown_path', 404, 'invalid_request_error'],
    ['method_not_allowed', 405, 'invalid_request_error'],
    ['request_too_large', 413, 'invalid_request_error'],
    ['unsupported_media_type', 415, 'invalid_request_error'],
    ['headers_too_large', 431, 'invalid_request_error'],
    ['rate_limit_exceeded', 429, 'rate_limit_error'],
    ['queue_full', 503, 'server_error'],
    ['queue_timeout', 503, 'server_error'],
    ['no_healthy_endpoints', 503, 'server_error'],
    ['access_unavailable', 503, 'server_error'],
    ['overloaded', 503, 'server_error'],
    ['upstream_error', 502, 'server_error'],
    ['timeout', 504, 'server_error'],
  ] as const)('%s answers %i with type %s', (code, status, type) => {
    expect(statusOf(code)).toBe(status);
    expect(new ProxyError(code, 'words').status).toBe(status);
    expect(JSON.parse(errorBody(code, 'words', 'model').toString())).toEqual({
      error: { message: 'words', type, param: 'model', code },
    });
  });

  test('a client that never ends its request gets 408 and the code timeout', () => {
    expect(statusOf('client_timeout')).toBe(408);
    expect(JSON.parse(errorBody('client_timeout', 'too slow').toString())).toEqual({
      error: { message: 'too slow', type: 'invalid_request_error', param: null, code: 'timeout' },
    });
  });

  test('a thrown error carries its Retry-After, its field and its cause', () => {
    const cause = new Error('why');
    const error = new ProxyError('queue_full', 'pool ml/chat: queue full', {
      retryAfterSeconds: 3,
      param: 'model',
      cause,
    });
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({
      code: 'queue_full',
      retryAfterSeconds: 3,
      param: 'model',
      cause,
      name: 'ProxyError',
    });
  });
});

describe('echo', () => {
  test('short input stands in quotes as it came', () => {
    expect(echo('gpt-4o')).toBe("'gpt-4o'");
    expect(echo('é'.repeat(400))).toBe(`'${'é'.repeat(400)}'`);
    expect(echo('x'.repeat(1024))).toBe(`'${'x'.repeat(1024)}'`);
  });

  test.each([
    ['ASCII', 'x'.repeat(1_000_000)],
    ['one byte too long', 'x'.repeat(1025)],
    ['three-byte characters', '€'.repeat(5_000)],
    ['four-byte characters', '😀'.repeat(5_000)],
    ['lone surrogates', '\ud800'.repeat(5_000)],
  ])('long input is cut to 1 KiB between characters: %s', (_name, input) => {
    const shown = echo(input);
    expect(shown.endsWith("…'")).toBe(true);
    const kept = Buffer.from(shown.slice(1, -2));
    expect(kept.length).toBeLessThanOrEqual(1024);
    expect(kept.length).toBeGreaterThan(1020);
    if (!input.startsWith('\ud800')) expect(input.startsWith(kept.toString())).toBe(true);
  });
});
