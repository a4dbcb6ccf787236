import { describe, expect, test } from 'vitest';
import { type AnswerHead, parseHead } from '../../../../proxy/upstream/http1/answer-head.ts';

function parse(...lines: string[]): AnswerHead {
  const text = `${lines.join('\r\n')}\r\n\r\n`;
  return parseHead(text, text.length - 4);
}

const OK = 'HTTP/1.1 200 OK';

describe('the head of an answer', () => {
  test.each<[string, string[], Partial<AnswerHead>]>([
    ['a status line alone', [OK], { status: 200, headers: [], length: undefined, isChunked: false, isKept: true }],
    ['no reason', ['HTTP/1.1 404'], { status: 404 }],
    ['an empty reason', ['HTTP/1.1 404 '], { status: 404 }],
    ['a reason in latin1', ['HTTP/1.1 500 caf\xe9\tx'], { status: 500 }],
    ['an unassigned status', ['HTTP/1.1 999 Odd'], { status: 999 }],
    ['HTTP/1.0', ['HTTP/1.0 200 OK'], { isKept: false }],
    ['a length', [OK, 'Content-Length: 12'], { length: 12, headers: ['content-length', '12'] }],
    ['a length with zeros before it', [OK, 'content-length: 0012'], { length: 12 }],
    ['chunks', [OK, 'Transfer-Encoding: Chunked'], { isChunked: true }],
    ['names in lower case, values as they are', [OK, 'X-AbC: DeF'], { headers: ['x-abc', 'DeF'] }],
    ['blanks around a value', [OK, 'a: \t b c \t'], { headers: ['a', 'b c'] }],
    ['no blank before a value', [OK, 'a:b:c'], { headers: ['a', 'b:c'] }],
    ['an empty value', [OK, 'a:', 'b: '], { headers: ['a', '', 'b', ''] }],
    ['a value in latin1', [OK, 'a: \xe9\xff\x80'], { headers: ['a', '\xe9\xff\x80'] }],
    ['every character of a token', [OK, "!#$%&'*+-.^_`|~09az: 1"], { headers: ["!#$%&'*+-.^_`|~09az", '1'] }],
    ['a name given twice', [OK, 'a: 1', 'a: 2'], { headers: ['a', '1', 'a', '2'] }],
    ['a name that objects have', [OK, '__proto__: 1'], { headers: ['__proto__', '1'] }],
    ['connection: close', [OK, 'Connection: Close'], { isKept: false }],
    ['close in a list', [OK, 'connection: keep-alive, close'], { isKept: false }],
    ['connection: keep-alive', [OK, 'connection: keep-alive'], { isKept: true }],
    ['keep-alive of HTTP/1.0', ['HTTP/1.0 200 OK', 'connection: keep-alive'], { isKept: false }],
    ['how long it is kept', [OK, 'Keep-Alive: timeout=5, max=100'], { keptSeconds: 5 }],
    ['how long it is kept, second in the list', [OK, 'Keep-Alive: max=100,timeout=7'], { keptSeconds: 7 }],
    ['keep-alive without a time', [OK, 'keep-alive: max=5'], { keptSeconds: undefined }],
  ])('may have %s', (_, lines, expected) => {
    expect(parse(...lines)).toMatchObject(expected);
  });

  test.each<[string, string[]]>([
    ['nothing', ['']],
    ['an empty line first', ['', OK]],
    ['no version', ['200 OK']],
    ['lower case', ['http/1.1 200 OK']],
    ['HTTP/2', ['HTTP/2 200']],
    ['HTTP/1.2', ['HTTP/1.2 200 OK']],
    ['HTTP/1', ['HTTP/1 200 OK']],
    ['HTTP/0.9', ['HTTP/0.9 200 OK']],
    ['HTTP/11', ['HTTP/1.11 200 OK']],
    ['another protocol', ['ICY 200 OK']],
    ['a blank before', [' HTTP/1.1 200 OK']],
    ['two blanks', ['HTTP/1.1  200 OK']],
    ['a tab', ['HTTP/1.1\t200 OK']],
    ['no status', ['HTTP/1.1']],
    ['two digits', ['HTTP/1.1 20']],
    ['two digits and a blank', ['HTTP/1.1 20 OK']],
    ['four digits', ['HTTP/1.1 2000 OK']],
    ['a status below 100', ['HTTP/1.1 099 OK']],
    ['letters for a status', ['HTTP/1.1 2x0 OK']],
    ['a sign before the status', ['HTTP/1.1 +20 OK']],
    ['NUL in the reason', ['HTTP/1.1 200 O\0K']],
    ['a bare CR in the reason', ['HTTP/1.1 200 O\rK']],
    ['a bare LF after the reason', ['HTTP/1.1 200 OK\na: b']],
    ['a header without a colon', [OK, 'abc']],
    ['an empty name', [OK, ': b']],
    ['a blank in a name', [OK, 'a b: c']],
    ['a blank before the colon', [OK, 'a : b']],
    ['a tab before the colon', [OK, 'a\t: b']],
    ['a folded line', [OK, 'a: b', ' c']],
    ['a line folded by a tab', [OK, 'a: b', '\tc']],
    ['a folded first line', [OK, ' a: b']],
    ['latin1 in a name', [OK, 'a\xe9: b']],
    ['quotes in a name', [OK, '"a": b']],
    ['NUL in a name', [OK, 'a\0: b']],
    ['NUL in a value', [OK, 'a: b\0c']],
    ['a bare CR in a value', [OK, 'a: b\rc']],
    ['a bare LF in a value', [OK, 'a: b\nc: d']],
    ['CR CR LF', [OK, 'a: b\r']],
    ['a control character in a value', [OK, 'a: b\x01']],
    ['DEL in a value', [OK, 'a: b\x7f']],
    ['a vertical tab in a value', [OK, 'a: b\vc']],
    ['two lengths', [OK, 'content-length: 1', 'content-length: 2']],
    ['the same length twice', [OK, 'content-length: 1', 'content-length: 1']],
    ['a list of lengths', [OK, 'content-length: 1, 1']],
    ['an empty length', [OK, 'content-length:']],
    ['a length with a sign', [OK, 'content-length: +1']],
    ['a negative length', [OK, 'content-length: -1']],
    ['a length in hexadecimal', [OK, 'content-length: 0x10']],
    ['a length with a fraction', [OK, 'content-length: 1.0']],
    ['a length that a number cannot hold', [OK, 'content-length: 9007199254740993']],
    ['length and chunks', [OK, 'content-length: 1', 'transfer-encoding: chunked']],
    ['chunks and length', [OK, 'transfer-encoding: chunked', 'content-length: 1']],
    ['another transfer-encoding', [OK, 'transfer-encoding: gzip']],
    ['a list of transfer-encodings', [OK, 'transfer-encoding: gzip, chunked']],
    ['identity', [OK, 'transfer-encoding: identity']],
    ['xchunked', [OK, 'transfer-encoding: xchunked']],
    ['chunked with a vertical tab', [OK, 'transfer-encoding: \vchunked']],
    ['an empty transfer-encoding', [OK, 'transfer-encoding:']],
    ['transfer-encoding twice', [OK, 'transfer-encoding: chunked', 'transfer-encoding: chunked']],
    ['chunks in HTTP/1.0', ['HTTP/1.0 200 OK', 'transfer-encoding: chunked']],
  ])('is malformed with %s', (_, lines) => {
    expect(() => parse(...lines)).toThrow(expect.objectContaining({ code: 'ERR_UPSTREAM_MALFORMED' }));
  });
});
