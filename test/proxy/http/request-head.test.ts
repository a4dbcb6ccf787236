import { describe, expect, test } from 'vitest';
import { readHead } from '../../../proxy/http/request-head.ts';

function flat(text: string): string[] {
  return text.split('\n').flatMap((line) => {
    const colon = line.indexOf(': ');
    return [line.slice(0, colon), line.slice(colon + 2)];
  });
}

describe('readHead', () => {
  const read = (headers: string, httpVersionMinor = 1) => readHead({ rawHeaders: flat(headers), httpVersionMinor });

  test.each([
    ['two Hosts', 'Host: a\nhost: b', 1],
    ['the same Host twice', 'Host: a\nHost: a', 1],
    ['two content types', 'Host: a\nContent-Type: application/json\ncontent-type: multipart/form-data', 1],
    ['HTTP/1.0 with chunks', 'Host: a\nTransfer-Encoding: chunked', 0],
    ['another transfer coding', 'Host: a\nTransfer-Encoding: gzip, chunked', 1],
    ['no Host', 'Accept: */*', 1],
  ])('refuses %s as bad_request', (_name, headers, minor) => {
    expect(read(headers, minor).fault).toMatchObject({ code: 'bad_request', status: 400 });
  });

  test.each(['gzip', 'br', 'GZIP', 'identity, gzip', 'gzip\nContent-Encoding: identity'])(
    'refuses Content-Encoding: %s as unsupported_media_type',
    (encoding) => {
      const { fault } = read(`Host: a\nContent-Encoding: ${encoding}`);
      expect(fault).toMatchObject({ code: 'unsupported_media_type', status: 415 });
    },
  );

  test.each([
    ['a plain request', 'Host: a\nContent-Type: application/json\nContent-Length: 2', 1],
    ['HTTP/1.0 without chunks', 'Host: a', 0],
    ['HTTP/1.0 without a Host', 'Accept: */*', 0],
    ['HTTP/1.0 with an expectation', 'Host: a\nExpect: more', 0],
    ['an offer of HTTP/2', 'Host: a\nConnection: Upgrade, HTTP2-Settings\nUpgrade: h2c', 1],
    ['an empty Upgrade', 'Host: a\nUpgrade: ', 1],
    ['chunks', 'Host: a\nTransfer-Encoding: Chunked', 1],
    ['identity', 'Host: a\nContent-Encoding: Identity', 1],
  ])('lets %s pass', (_name, headers, minor) => {
    expect(read(headers, minor).fault).toBeUndefined();
  });

  test('finds what Sluice reads, whatever the case of the names', () => {
    expect(
      read('HOST: a\nContent-TYPE: Multipart/form-data; boundary=x\nCONTENT-LENGTH: 7\nExpect: 100-continue'),
    ).toEqual({
      contentType: 'Multipart/form-data; boundary=x',
      contentLength: 7,
      requestId: '',
      hasRequestId: false,
      requestIdPasses: false,
      expectsContinue: true,
      isMultipart: true,
      trace: 'none',
      hops: 0,
      fault: undefined,
    });
  });

  test.each([
    ['a-1.b:2/c', 'a-1.b:2/c'],
    ['two words', ''],
    ['<script>', ''],
    ['x'.repeat(129), ''],
  ])('of the request id %j it keeps %j', (sent, kept) => {
    const head = read(`Host: a\nX-Request-ID: ${sent}`);
    expect([head.requestId, head.requestIdPasses]).toEqual([kept, kept !== '']);
  });

  test.each([
    ['one', 'two', 'one'],
    ['one', '<two>', 'one'],
    ['<one>', 'two', ''],
  ])('of the request ids %j and %j it keeps %j, and lets neither header pass', (first, second, kept) => {
    const head = read(`Host: a\nx-request-id: ${first}\nX-Request-Id: ${second}`);
    expect([head.requestId, head.requestIdPasses]).toEqual([kept, false]);
  });

  test.each(['websocket', 'WebSocket', 'h2c, websocket', 'TLS/1.0', 'HTTP/2.0'])(
    'refuses an upgrade to %s as not_implemented',
    (protocol) => {
      const { fault } = read(`Host: a\nConnection: Upgrade\nUpgrade: ${protocol}`);
      expect(fault).toMatchObject({ code: 'not_implemented', status: 501 });
    },
  );

  test.each(['200-ok', '100-continue, more', 'x'])('refuses to expect %s as expectation_failed', (expectation) => {
    const { fault, expectsContinue } = read(`Host: a\nExpect: ${expectation}`);
    expect([fault?.code, fault?.status, expectsContinue]).toEqual(['expectation_failed', 417, false]);
  });
});
