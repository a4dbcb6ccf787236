import { describe, expect, test } from 'vitest';
import { expectsJson, judgeUnary } from '../../../../proxy/http/answer/unary-verdict.ts';

const CHAT =
  '{"id":"c","choices":[{"message":{"content":"hi"}}],"usage":{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8}}';

function faultOf(text: string, contentType = 'application/json'): string {
  return judgeUnary(contentType, Buffer.from(text)).fault;
}

describe('judgeUnary', () => {
  test('finds nothing wrong with an answer, and what it cost', () => {
    expect(judgeUnary('application/json', Buffer.from(CHAT))).toEqual({
      fault: '',
      usage: { inputTokens: 3, outputTokens: 5, totalTokens: 8 },
    });
  });

  test.each([
    'application/json',
    'Application/JSON',
    'application/json; charset=utf-8',
    'application/json;charset=utf-8',
    ' application/json ; x=y',
    'application/problem+json',
    'application/vnd.api+json; charset=utf-8',
    '',
  ])('takes %o for JSON', (contentType) => {
    expect(faultOf(CHAT, contentType)).toBe('');
  });

  test.each([
    'text/html',
    'text/html; charset=utf-8',
    'text/plain; x=application/json',
    'application/jsonl',
    'application/x-ndjson',
    'application/octet-stream',
    'json',
    '+json',
    'a/b/c+json',
  ])('refuses %o', (contentType) => {
    expect(faultOf(CHAT, contentType)).toBe('wrong_type');
  });

  test.each([
    ['nothing', '', 'empty'],
    ['nothing but space', ' \n', 'not_json'],
    ['a page', '<html></html>', 'not_json'],
    ['half an answer', CHAT.slice(0, 50), 'not_json'],
    ['all of an answer but its last byte', CHAT.slice(0, -1), 'not_json'],
    ['two answers', CHAT + CHAT, 'not_json'],
    ['a byte order mark', `\ufeff${CHAT}`, 'not_json'],
    ['an error', '{"error":{"message":"no"}}', 'error_in_body'],
    ['an error in words', '{"error":"no"}', 'error_in_body'],
    ['an error that is false', '{"error":false}', 'error_in_body'],
    ['an error beside an answer', '{"choices":[],"error":{}}', 'error_in_body'],
    ['an error with an escaped key', '{"\\u0065rro\\u0072" : {}}', 'error_in_body'],
    ['an error said twice, at last not null', '{"error":null,"error":1}', 'error_in_body'],
    ['an error, but broken', '{"error":{}', 'not_json'],
    ['an error that is null', '{"error":null,"output":[]}', ''],
    ['an error further down', '{"data":{"error":1},"x":[{"error":1}]}', ''],
    ['keys that look like it', '{"errors":1,"erro":1,"Error":1,"rerror":1,"\\\\error":1,"error\\n":1}', ''],
    ['a value that looks like it', '{"a":"error","b":"\\"error\\":1"}', ''],
    ['an array, as TEI answers', '[[0.1,0.2]]', ''],
    ['an array of errors', '[{"error":1}]', ''],
    ['a text', '"ok"', ''],
  ])('says of %s', (_name, text, fault) => {
    expect(faultOf(text)).toBe(fault);
  });

  test('refuses what is not UTF-8', () => {
    expect(judgeUnary('application/json', Buffer.from('{"a":"\xff"}', 'latin1')).fault).toBe('not_json');
  });

  test.each([
    ['{"usage":null}', undefined],
    ['{"usage":[]}', undefined],
    ['{"usage":{}}', undefined],
    ['{"choices":[{"usage":{"total_tokens":7}}]}', undefined],
    ['{"usage":{"total_tokens":7},"usage":{"total_tokens":8}}', 8],
    ['{"usage":{"total_tokens":7},"usage":null}', undefined],
    ['{"\\u0075sage":{"total_tokens":7}}', 7],
    ['{"usage" : {"total_tokens":7} , "model":"m"}', 7],
    ['{"a":"usage","usages":{"total_tokens":7}}', undefined],
  ])('of %s reads the total %s', (text, total) => {
    const { fault, usage } = judgeUnary('', Buffer.from(text));
    expect([fault, usage?.totalTokens]).toEqual(['', total]);
  });
});

test.each([
  ['/chat/completions', true],
  ['/completions', true],
  ['/embeddings', true],
  ['/v1/embeddings', true],
  ['/responses', true],
  ['/rerank', true],
  ['/moderations', true],
  ['/images/generations', true],
  ['/embed', true],
  ['/info', true],
  ['/audio/speech', false],
  ['/audio/transcriptions', false],
  ['/v1/audio/translations', false],
  ['/files/file-1/content', false],
  ['/videos/v1/content', false],
  ['/health', false],
])('an answer at %s has to be JSON: %s', (path, expected) => {
  expect(expectsJson(path)).toBe(expected);
});
