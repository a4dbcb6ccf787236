import { describe, expect, test } from 'vitest';
import { addToTail, createTail, usageInTail } from '../../../../proxy/http/answer/tail.ts';
import { below, seeded } from '../json-fuzz.ts';

const KIB = 1024;
const WORD = 'data: {"choices":[{"delta":{"content":"hello"}}],"usage":null}\n\n';
const LAST =
  'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8,"details":{"note":"}{\\""}}}\n\n';
const DONE = 'data: [DONE]\n\n';

function totalOf(...chunks: readonly (string | Buffer)[]): number | undefined {
  const tail = createTail();
  for (const chunk of chunks) addToTail(tail, Buffer.from(chunk));
  return usageInTail(tail)?.totalTokens;
}

describe('usageInTail', () => {
  test('finds the usage at the end of a stream, however long', () => {
    for (const words of [0, 1, 100, 1000, 5000]) expect(totalOf(...Array(words).fill(WORD), LAST, DONE)).toBe(8);
  });

  test('finds it however the stream is cut', () => {
    const random = seeded(7);
    const bytes = Buffer.from(WORD.repeat(400) + LAST + DONE);
    for (let round = 0; round < 300; round += 1) {
      const most = 1 + below(random, round % 2 === 0 ? 40 : 20 * KIB);
      const tail = createTail();
      for (let at = 0; at < bytes.length; ) {
        const end = at + 1 + below(random, most);
        addToTail(tail, bytes.subarray(at, end));
        at = end;
      }
      expect(usageInTail(tail)?.totalTokens, `at most ${most} bytes a chunk`).toBe(8);
    }
  });

  test('finds it at the end of an answer larger than the tail, in one chunk or in chunks as large as the tail', () => {
    const body = `{"data":["${'x'.repeat(300 * KIB)}"],"model":"m","usage":{"prompt_tokens":9,"total_tokens":9}}`;
    expect(totalOf(body)).toBe(9);
    expect(totalOf('{', body.slice(1))).toBe(9);
    const bytes = Buffer.from(body);
    const chunks = Array.from({ length: Math.ceil(bytes.length / (8 * KIB)) }, (_, index) =>
      bytes.subarray(index * 8 * KIB, (index + 1) * 8 * KIB),
    );
    expect(totalOf(...chunks)).toBe(9);
  });

  test('finds it inside of the response that an event completes', () => {
    const completed = `event: response.completed\ndata: {"type":"response.completed","response":{"output":[${'1,'.repeat(9000)}1],"tools":[{"parameters":{"usage":{"type":"object"}}}],"usage":{"input_tokens":36,"output_tokens":87,"total_tokens":123},"user":null,"metadata":{}}}\n\n`;
    expect(totalOf(completed)).toBe(123);
  });

  test('takes the last one that counts tokens', () => {
    const one = (text: string): string => `data: {"usage":${text}}\n\n`;
    expect(totalOf(one('{"total_tokens":1}'), one('{"total_tokens":2}'))).toBe(2);
    expect(totalOf(one('{"total_tokens":1}'), one('null'), one('{}'), one('{"type":"object"}'))).toBe(1);
    expect(totalOf(one('{"total_tokens":1}'), 'data: {"usage":{"total_tokens":2,"x')).toBe(1);
    expect(totalOf(one(' {"total_tokens":1}').replace('"usage":', '"usage" : '))).toBe(1);
  });

  test('is not taken in by what an answer says', () => {
    const text = JSON.stringify({ content: JSON.stringify({ usage: { total_tokens: 999 } }) });
    expect(totalOf(`data: ${text}\n\n`)).toBeUndefined();
    expect(totalOf('data: {"usage":{"total_tokens":1}}\n\n', `data: ${text}\n\n`)).toBe(1);
  });

  test.each([
    ['nothing', ''],
    ['no usage', WORD],
    ['a usage that is cut off', '{"usage":{"total_tokens":8'],
    ['a usage without its value', '{"usage":'],
    ['a usage without its colon', '"usage"'],
    ['garbage', '"usage":{'.repeat(2000)],
  ])('finds none in %s', (_name, text) => {
    expect(totalOf(text)).toBeUndefined();
  });

  test('forgets what is further back than the tail reaches', () => {
    expect(totalOf(LAST, 'x'.repeat(7 * KIB))).toBe(8);
    expect(totalOf(LAST, 'x'.repeat(9 * KIB))).toBeUndefined();
  });
});
