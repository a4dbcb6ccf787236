import { describe, expect, test } from 'vitest';
import { ProxyError } from '../../../../proxy/errors.ts';
import { timePerOutputTokenSeconds, usageAt } from '../../../../proxy/http/answer/usage.ts';

function read(text: string): number[] | undefined {
  const usage = usageAt(Buffer.from(`xx${text}yy`), 2);
  return usage && [usage.inputTokens, usage.outputTokens, usage.totalTokens];
}

describe('usageAt', () => {
  test.each([
    ['chat', '{"prompt_tokens":19,"completion_tokens":10,"total_tokens":29}', [19, 10, 29]],
    [
      'chat with details, which have counts of their own',
      '{"prompt_tokens_details":{"prompt_tokens":1},"prompt_tokens":19,"completion_tokens":10,"total_tokens":29,"completion_tokens_details":{"completion_tokens":7}}',
      [19, 10, 29],
    ],
    [
      'responses',
      '{"input_tokens":36,"input_tokens_details":{"cached_tokens":0},"output_tokens":87,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":123}',
      [36, 87, 123],
    ],
    ['embeddings', '{"prompt_tokens":8,"total_tokens":8}', [8, 0, 8]],
    ['rerank', '{"total_tokens":37}', [37, 0, 37]],
    ['Anthropic', '{"input_tokens":25,"output_tokens":15}', [25, 15, 40]],
    ['the end of an Anthropic stream', '{"output_tokens":15}', [0, 15, 15]],
    ['output by the total', '{"prompt_tokens":5,"total_tokens":9}', [5, 4, 9]],
    ['input by the total', '{"completion_tokens":5,"total_tokens":9}', [4, 5, 9]],
    ['a total smaller than its parts', '{"prompt_tokens":5,"total_tokens":2}', [5, 0, 2]],
    [
      'both words at once, one of them 0',
      '{"prompt_tokens":13,"completion_tokens":5,"total_tokens":18,"input_tokens":0,"output_tokens":0}',
      [13, 5, 18],
    ],
    ['nothing but zeros', '{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}', [0, 0, 0]],
    ['numbers as Python writes floats', '{"prompt_tokens":19.0,"total_tokens":2e1}', [19, 1, 20]],
    ['space everywhere', '{ "prompt_tokens" : 1 ,\n"total_tokens": 3 }', [1, 2, 3]],
  ])('reads %s', (_name, text, counts) => {
    expect(read(text)).toEqual(counts);
  });

  test.each([
    ['null', 'null'],
    ['an empty object', '{}'],
    ['an array', '[{"prompt_tokens":1}]'],
    ['other words', '{"tokens":5,"prompt_token":5,"xprompt_tokens":5}'],
    ['negative numbers', '{"prompt_tokens":-1,"total_tokens":-7}'],
    ['fractions', '{"prompt_tokens":1.5}'],
    ['numbers that are not safe', '{"prompt_tokens":9007199254740992,"total_tokens":1e400}'],
    ['strings', '{"prompt_tokens":"5"}'],
    ['null counts', '{"prompt_tokens":null,"total_tokens":true}'],
  ])('finds no tokens in %s', (_name, text) => {
    expect(read(text)).toBeUndefined();
  });

  test('says so when the object does not end', () => {
    expect(() => usageAt(Buffer.from('{"prompt_tokens":1,"total'), 0)).toThrow(ProxyError);
  });
});

describe('timePerOutputTokenSeconds', () => {
  const usage = { inputTokens: 1, outputTokens: 11, totalTokens: 12 };

  test('divides the time after the first token by the tokens after it', () => {
    expect(timePerOutputTokenSeconds(usage, 1000, 1500)).toBe(0.05);
  });

  test('knows nothing where there is no second token, or no time', () => {
    expect(timePerOutputTokenSeconds({ ...usage, outputTokens: 1 }, 1000, 1500)).toBeUndefined();
    expect(timePerOutputTokenSeconds({ ...usage, outputTokens: 0 }, 1000, 1500)).toBeUndefined();
    expect(timePerOutputTokenSeconds(usage, 1500, 1000)).toBeUndefined();
  });
});
