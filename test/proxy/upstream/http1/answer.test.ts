import { describe, expect, test } from 'vitest';
import { Answer } from '../../../../proxy/upstream/http1/answer.ts';
import { Call } from '../../../../proxy/upstream/http1/call.ts';
import { Reading } from './scripted-server.ts';

interface Read extends Pick<Reading, 'status' | 'text' | 'told'> {
  readonly isWhole: boolean;
  readonly isKept: boolean;
  /** Bytes after the answer. */
  readonly over: number;
}

/** Reads the pieces one after the other, as socket reads, until the answer is whole. */
function read(pieces: readonly string[], method = 'GET'): Read {
  const answer = new Answer();
  const reading = new Reading();
  const call = new Call(reading, method, undefined, false);
  answer.begin();
  let over = 0;
  for (const piece of pieces) {
    const used = answer.isWhole ? 0 : answer.read(Buffer.from(piece, 'latin1'), call);
    over += piece.length - used;
  }
  const { status, text, told } = reading;
  return { status, text, told, isWhole: answer.isWhole, isKept: answer.isKept, over };
}

const CHUNKED = 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n';
const MALFORMED = expect.objectContaining({ code: 'ERR_UPSTREAM_MALFORMED' });

const WHOLE: [string, string, string][] = [
  ['of a given length', 'HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello', 'hello'],
  ['in chunks', `${CHUNKED}3\r\nabc\r\n0a\r\n0123456789\r\n0\r\n\r\n`, 'abc0123456789'],
  ['in chunks with extensions', `${CHUNKED}3;a="b\xe9";c\r\nabc\r\n0;x\r\n\r\n`, 'abc'],
  ['in chunks with trailers', `${CHUNKED}1\r\na\r\n0\r\nx: y\r\nz:\r\n\r\n`, 'a'],
  ['in no chunks', `${CHUNKED}000\r\n\r\n`, ''],
  ['of no bytes', 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n', ''],
  [
    'after 100 and 103',
    `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\na: b\r\n\r\n${CHUNKED}1\r\na\r\n0\r\n\r\n`,
    'a',
  ],
];

describe('an answer', () => {
  test.each(WHOLE)('%s is the same wherever a read cuts it', (_, bytes, text) => {
    const expected = { status: 200, text, isWhole: true, isKept: true, over: 0 };
    expect(read([bytes])).toMatchObject(expected);
    expect(read([...bytes])).toMatchObject(expected);
    for (let at = 1; at < bytes.length; at += 1) {
      const cut = read([bytes.slice(0, at), bytes.slice(at)]);
      expect(cut).toMatchObject(expected);
      expect(read([bytes.slice(0, at)]).isWhole).toBe(false);
    }
  });

  test('follows another, of which nothing is left', () => {
    const answer = new Answer();
    for (const [, bytes, text] of [...WHOLE, ...WHOLE.toReversed(), ...WHOLE, ...WHOLE, ...WHOLE]) {
      const reading = new Reading();
      const call = new Call(reading, 'GET', undefined, false);
      answer.begin();
      for (const byte of bytes) answer.read(Buffer.from(byte, 'latin1'), call);
      expect([answer.isWhole, reading.text]).toEqual([true, text]);
    }
  });

  test('tells at once what came in one read, however many chunks it came in, and keeps what follows the answer', () => {
    const answer = new Answer();
    const reading = new Reading();
    const call = new Call(reading, 'GET', undefined, false);
    answer.begin();
    const bytes = Buffer.from(`${CHUNKED}1\r\na\r\n2\r\nbc\r\n10\r\n0123456789abcdef\r\n0\r\n\r\nnext`);
    expect(bytes.subarray(answer.read(bytes, call)).toString()).toBe('next');
    expect([reading.text, reading.told]).toEqual(['abc0123456789abcdef', ['head', 'data']]);
  });

  test.each(WHOLE)('%s takes none of the bytes after it', (_, bytes, text) => {
    expect(read([`${bytes}HTTP/1.1`])).toMatchObject({ text, isWhole: true, over: 8 });
  });

  test('tells its head once, before its first byte', () => {
    expect(read([...`HTTP/1.1 100 Continue\r\n\r\n${CHUNKED}1\r\na\r\n1\r\nb\r\n0\r\n\r\n`]).told).toEqual([
      'head',
      'data',
    ]);
  });

  test.each([
    ['to a HEAD', 'HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n', 'HEAD', true],
    ['to a HEAD, that would have been chunked', CHUNKED, 'HEAD', true],
    ['204', 'HTTP/1.1 204 No Content\r\n\r\n', 'GET', true],
    ['204 of no bytes', 'HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n', 'GET', true],
    ['204 that speaks of bytes', 'HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n', 'GET', false],
    ['204 that speaks of chunks', 'HTTP/1.1 204 No\r\ntransfer-encoding: chunked\r\n\r\n', 'GET', false],
    ['304 with the length it would have had', 'HTTP/1.1 304 Same\r\ncontent-length: 5\r\n\r\n', 'GET', true],
  ])('%s has no body', (_, bytes, method, isKept) => {
    expect(read([bytes], method)).toMatchObject({ text: '', isWhole: true, isKept, told: ['head'] });
  });

  test('of no length and no chunks goes on until the connection ends, which is then not kept', () => {
    const all = read(['HTTP/1.1 200 OK\r\n\r\nabc', 'def']);
    expect(all).toMatchObject({ text: 'abcdef', isWhole: false, isKept: false });
  });

  test.each([
    ['no size', '\r\nabc\r\n0\r\n\r\n'],
    ['no size but an extension', ';a\r\nabc\r\n'],
    ['a size that is no number', 'x\r\n'],
    ['a negative size', '-1\r\na\r\n'],
    ['a size with a sign', '+1\r\na\r\n'],
    ['a size with 0x', '0x1\r\na\r\n'],
    ['a blank before its size', ' 1\r\na\r\n'],
    ['a blank after its size', '1 \r\na\r\n'],
    ['a size above 2^48', '1000000000001\r\na'],
    ['a size of 17 digits', '00000000000000001\r\na'],
    ['a bare LF after its size', '1\na\r\n0\r\n\r\n'],
    ['a bare CR after its size', '1\ra\r\n0\r\n\r\n'],
    ['more bytes than its size', '1\r\nab\r\n0\r\n\r\n'],
    ['no CR after its bytes', '1\r\na\n0\r\n\r\n'],
    ['no LF after its bytes', '1\r\na\r0\r\n\r\n'],
    ['a bare LF in its extension', '1;a\nb\r\na\r\n0\r\n\r\n'],
    ['NUL in its extension', '1;a\0b\r\na\r\n0\r\n\r\n'],
    ['an extension that never ends', `1;${'a'.repeat(1025)}`],
    ['a trailer that is no header', '0\r\nabc\r\n\r\n'],
    ['a trailer with a bare LF', '0\r\na: b\nc: d\r\n\r\n'],
    ['a folded trailer', '0\r\na: b\r\n c\r\n\r\n'],
    ['trailers that never end', `0\r\na: ${'b'.repeat(17_000)}`],
  ])('with a chunk that has %s is malformed, wherever a read cuts it', (_, chunks) => {
    expect(() => read([CHUNKED + chunks])).toThrow(MALFORMED);
    expect(() => read([CHUNKED, ...chunks])).toThrow(MALFORMED);
  });

  test.each([
    ['that switches protocols', 'HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n'],
    ['that is never more than provisional', 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(11)],
    ['with a head of more than 16 KiB', `HTTP/1.1 200 OK\r\na: ${'b'.repeat(16_500)}\r\n\r\n`],
    ['whose head never ends', `HTTP/1.1 200 OK\r\n${'a: b\r\n'.repeat(3_000)}`],
  ])('%s is malformed', (_, bytes) => {
    expect(() => read([bytes])).toThrow(MALFORMED);
    expect(() => read([...bytes])).toThrow(MALFORMED);
  });

  test.each([
    ['another protocol', 'SSH-2.0-OpenSSH_9.6\r\n'],
    ['the first letters of another', 'HTX'],
    ['HTTP/2', 'HTTP/2 '],
    ['an empty line', '\r\n'],
    ['lines that end with LF', 'HTTP/1.1 200 OK\ncontent-length: 0\n\n'],
  ])('is refused as soon as it is seen to be %s, not when its head ends', (_, bytes) => {
    expect(() => read([bytes])).toThrow(MALFORMED);
    expect(() => read([...bytes])).toThrow(MALFORMED);
  });

  test('may have a head of up to 16 KiB', () => {
    const head = `HTTP/1.1 200 OK\r\ncontent-length: 1\r\na: ${'b'.repeat(16_300)}\r\n\r\n`;
    expect(read([`${head}x`])).toMatchObject({ text: 'x', isWhole: true });
  });
});
