import { Readable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { requestHead } from '../../../../proxy/upstream/http1/request-bytes.ts';

const HOST = 'host: llm:8000\r\n';
const streamed = (length: number | undefined) => ({
  ...{ started: () => false, cameAt: () => 0, length },
  open: () => Readable.from([]),
});
const get = { method: 'GET', path: '/', headers: [], body: undefined };

describe('the head of a request', () => {
  test('has the request line, the host, the headers in their order, and the length of the body', () => {
    const headers = ['Accept', '*/*', 'x-a', 'caf\xe9\tb', 'x-a', ''];
    expect(requestHead({ method: 'POST', path: '/v1/a?b=%20', headers, body: Buffer.from('caf\u00e9') }, HOST)).toBe(
      `POST /v1/a?b=%20 HTTP/1.1\r\n${HOST}Accept: */*\r\nx-a: caf\xe9\tb\r\nx-a: \r\ncontent-length: 5\r\n\r\n`,
    );
  });

  test.each([
    ['GET', undefined, ''],
    ['DELETE', undefined, ''],
    ['POST', undefined, 'content-length: 0\r\n'],
    ['POST', Buffer.alloc(0), 'content-length: 0\r\n'],
    ['POST', streamed(7), 'content-length: 7\r\n'],
    ['POST', streamed(0), 'content-length: 0\r\n'],
    ['POST', streamed(undefined), 'transfer-encoding: chunked\r\n'],
  ])('of a %s says what body follows', (method, body, framing) => {
    expect(requestHead({ ...get, method, body }, HOST)).toBe(`${method} / HTTP/1.1\r\n${HOST}${framing}\r\n`);
  });

  test.each([
    ['CR LF in a value', { headers: ['a', 'b\r\nc: d'] }],
    ['LF in a value', { headers: ['a', 'b\nc: d'] }],
    ['NUL in a value', { headers: ['a', 'b\0'] }],
    ['what latin1 would make an LF of', { headers: ['a', 'b\u010ac: d'] }],
    ['an empty name', { headers: ['', 'b'] }],
    ['a colon in a name', { headers: ['a:b', 'c'] }],
    ['LF in a name', { headers: ['a\nb', 'c'] }],
    ['a wide character in a name', { headers: ['a\u010a', 'c'] }],
    ['a second host', { headers: ['Host', 'other'] }],
    ['a second length', { headers: ['Content-Length', '1'] }],
    ['another framing', { headers: ['Transfer-Encoding', 'chunked'] }],
    ['a connection header', { headers: ['Connection', 'close'] }],
    ['a blank in the path', { path: '/a b' }],
    ['LF in the path', { path: '/a\nb' }],
    ['what latin1 would make a blank of in the path', { path: '/a\u0120b' }],
    ['no path', { path: '' }],
    ['a blank in the method', { method: 'GET /x' }],
    ['no method', { method: '' }],
  ])('is refused with %s', (_, part) => {
    expect(() => requestHead({ ...get, ...part }, HOST)).toThrow(
      expect.objectContaining({ code: 'ERR_INVALID_HEADER' }),
    );
  });
});
