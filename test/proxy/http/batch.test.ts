import { describe, expect, test } from 'vitest';
import { isSplittable, joinEmbeddings, partOf, splitInput } from '../../../proxy/http/batch.ts';
import { readFacts, type Span } from '../../../proxy/http/json-body.ts';

function split(text: string, size: number): unknown[] {
  const body = Buffer.from(text);
  const input = readFacts(body).prompt as Span;
  expect(isSplittable(body, input)).toBe(true);
  return splitInput(body, input, size).map((run) => JSON.parse(partOf(body, input, run).toString()));
}

describe('an input array', () => {
  test('goes in parts of at most the batch, each a body like the whole', () => {
    expect(split('{"model":"m", "input" : [ "a", "b,]" , "c" ], "dimensions":4}', 2)).toEqual([
      { model: 'm', input: ['a', 'b,]'], dimensions: 4 },
      { model: 'm', input: ['c'], dimensions: 4 },
    ]);
  });

  test('of lists of token ids goes in parts as well', () => {
    expect(split('{"input":[[1,2],[3],[4,5]],"model":"m"}', 2)).toEqual([
      { input: [[1, 2], [3]], model: 'm' },
      { input: [[4, 5]], model: 'm' },
    ]);
  });

  test('that fits is one part', () => {
    expect(split('{"model":"m","input":["a","b"]}', 2)).toHaveLength(1);
  });

  test('has as many parts as it takes, whatever the number of inputs', () => {
    for (let count = 2; count < 20; count += 1) {
      const inputs = Array.from({ length: count }, (_, n) => `input ${n}`);
      for (let size = 1; size < 20; size += 1) {
        const parts = split(JSON.stringify({ model: 'm', input: inputs }), size) as { input: string[] }[];
        expect(parts.flatMap(({ input }) => input)).toEqual(inputs);
        expect(
          parts
            .map(({ input }) => input.length)
            .slice(0, -1)
            .every((length) => length === size),
        ).toBe(true);
        expect(parts).toHaveLength(Math.ceil(count / size));
      }
    }
  });

  test('of a thousand parts is taken, of more it is not', () => {
    const body = (count: number): string => JSON.stringify({ model: 'm', input: Array(count).fill('a') });
    expect(split(body(2_048), 2)).toHaveLength(1_024);
    expect(() => split(body(2_049), 2)).toThrow('send fewer at once');
  });

  test.each([
    ['of token ids, which are one input', '{"model":"m","input":[1,2,3,4,5]}'],
    ['of one', '{"model":"m","input":["a"]}'],
    ['that is empty', '{"model":"m","input":[]}'],
    ['that is a text', '{"model":"m","input":"a text"}'],
    ['of things that no server reads', '{"model":"m","input":[{},{},{}]}'],
  ])('%s goes as it is', (_name, text) => {
    const body = Buffer.from(text);
    expect(isSplittable(body, readFacts(body).prompt as Span)).toBe(false);
  });
});

function join(...answers: string[]): unknown {
  const joined = joinEmbeddings(answers.map((answer) => Buffer.from(answer)));
  return joined === undefined ? undefined : JSON.parse(joined.toString());
}

const item = (index: number, embedding: string): string =>
  `{"object":"embedding","index":${index},"embedding":${embedding}}`;

describe('answers to the parts', () => {
  test('are one list in order, indexes counted through, usage summed, numbers with their own text', () => {
    const first = `{"object":"list","data":[${item(0, '[1.50e-2]')}, ${item(1, '[2]')}],"model":"x","usage":{"prompt_tokens":3,"total_tokens":3}}`;
    const second = `{"object":"list","data":[${item(0, '"base64=="')}],"model":"x","usage":{"prompt_tokens":4,"total_tokens":4}}`;
    expect(join(first, second)).toEqual({
      ...{ object: 'list', model: 'x', usage: { prompt_tokens: 7, total_tokens: 7 } },
      data: [
        { object: 'embedding', index: 0, embedding: [0.015] },
        { object: 'embedding', index: 1, embedding: [2] },
        { object: 'embedding', index: 2, embedding: 'base64==' },
      ],
    });
    expect(joinEmbeddings([Buffer.from(first), Buffer.from(second)])?.toString()).toContain('1.50e-2');
  });

  test('are joined wherever usage stands, and without it', () => {
    const usage = '"usage":{"total_tokens":2}';
    expect(join(`{${usage},"data":[${item(0, '[1]')}]}`, `{"data":[${item(0, '[2]')}],${usage}}`)).toMatchObject({
      ...{ usage: { total_tokens: 4 }, data: [{ index: 0 }, { index: 1 }] },
    });
    expect(join(`{"data":[${item(0, '[1]')}]}`, `{"data":[]}`)).toEqual({
      data: [{ object: 'embedding', index: 0, embedding: [1] }],
    });
  });

  test.each(['{"error":null}', '[]', '{"data":{}}'])('that are no lists, as %s, are not joined', (answer) => {
    expect(join(`{"data":[${item(0, '[1]')}]}`, answer)).toBeUndefined();
  });
});
