import { describe, expect, test } from 'vitest';
import { createItemSplitter } from '../../kube/items.ts';

function split(chunks: readonly Buffer[], maxBytes = 10_000): { items: string[]; rest: string } {
  const items: string[] = [];
  const splitter = createItemSplitter(maxBytes, (text) => items.push(text));
  for (const chunk of chunks) splitter.push(chunk);
  return { items, rest: splitter.rest() };
}

const objects = [
  { metadata: { name: 'a', labels: {} }, list: [[1], [{ b: [] }]], text: '"]},{[\\' },
  {},
  { 'ü€😀': '😀', escaped: '\\"', end: '\\\\' },
];

describe('the item splitter', () => {
  test.each([
    [
      'as typed lists are written',
      { kind: 'PodList', metadata: { resourceVersion: '7', x: { y: 1 } }, items: objects },
    ],
    [
      'as custom resources are written',
      { apiVersion: 'a/v1', items: objects, kind: 'LLMPoolList', metadata: { continue: 'a,]' } },
    ],
    ['indented', { items: objects, metadata: {} }],
  ])('cuts out the objects of a list, %s, wherever the chunks are cut', (what, list) => {
    const bytes = Buffer.from(JSON.stringify(list, undefined, what === 'indented' ? 2 : undefined));
    const whole = split([bytes]);
    expect(whole.items.map((text) => JSON.parse(text))).toEqual(objects);
    expect(JSON.parse(whole.rest)).toEqual({ ...list, items: [] });
    for (let at = 0; at <= bytes.length; at++) {
      expect(split([bytes.subarray(0, at), bytes.subarray(at)])).toEqual(whole);
    }
    expect(split([...bytes].map((byte) => Buffer.from([byte])))).toEqual(whole);
  });

  test.each([
    ['{"items":[]}', '{"items":[]}'],
    ['{"items":null}', '{"items":null}'],
    ['{"items":[7,"x"]}', '{"items":[7"x"]}'],
    ['null', 'null'],
    ['', ''],
    ['<html>{sign in}</html>', '<html>{sign in}</html>'],
    ['{"items":[{"a":1},{"b', '{"items":['],
  ])('leaves of %s what is no object', (text, rest) => {
    expect(split([Buffer.from(text)]).rest).toBe(rest);
  });

  test('throws at an object that never ends instead of holding it for ever', () => {
    const chunk = Buffer.alloc(6_000, 'x');
    expect(() => split([Buffer.from('{"items":[{"a":"'), chunk, chunk])).toThrow(
      'an object is longer than 10000 bytes',
    );
    expect(() => split([chunk, chunk])).toThrow('an object is longer than 10000 bytes');
  });
});
