import { expect, test } from 'vitest';
import { assignPieces, keepLostBackends } from '../../operator/pieces.ts';
import type { EndpointEntry } from '../../proxy/config/schema.ts';

const entry = (index: number, ready = true, backend = 'b'): EndpointEntry => ({
  backend,
  address: `10.0.${Math.floor(index / 250)}.${index % 250}`,
  port: 8000,
  ready,
});
const entries = (count: number): EndpointEntry[] => Array.from({ length: count }, (_, index) => entry(index));
const sizes = (pieces: ReadonlyMap<number, readonly EndpointEntry[]>) =>
  [...pieces].map(([piece, held]) => [piece, held.length]);
const NONE = new Map<number, readonly EndpointEntry[]>();

test.each([
  [0, [[0, 0]]],
  [1, [[0, 1]]],
  [250, [[0, 250]]],
  [251, [[0, 250], [1, 1]]], // biome-ignore format: a table
  [600, [[0, 250], [1, 250], [2, 100]]], // biome-ignore format: a table
])('%i endpoints fill pieces of at most 250', (count, expected) => {
  expect(sizes(assignPieces(entries(count), NONE))).toEqual(expected);
});

test('an endpoint stays in its piece when others before it go', () => {
  const first = assignPieces(entries(600), NONE);
  const left = entries(600).slice(100);
  const second = assignPieces(left, first);
  expect(sizes(second)).toEqual([[0, 150], [1, 250], [2, 100]]); // biome-ignore format: a table
  expect(second.get(1)).toEqual(first.get(1));
  expect(second.get(2)).toEqual(first.get(2));
});

test('a flip of one endpoint changes its piece only', () => {
  const first = assignPieces(entries(600), NONE);
  const flipped = entries(600).map((one, index) => (index === 300 ? { ...one, ready: false } : one));
  const second = assignPieces(flipped, first);
  expect(second.get(0)).toEqual(first.get(0));
  expect(second.get(2)).toEqual(first.get(2));
  expect(second.get(1)).not.toEqual(first.get(1));
});

test('a new endpoint takes the room that others left', () => {
  const first = assignPieces(entries(500), NONE);
  const second = assignPieces([...entries(500).slice(1), entry(900)], first);
  expect(sizes(second)).toEqual([[0, 250], [1, 250]]); // biome-ignore format: a table
});

test('an empty piece is gone, but for the first', () => {
  const first = assignPieces(entries(300), NONE);
  expect(sizes(assignPieces(entries(10), first))).toEqual([[0, 10]]);
  expect(sizes(assignPieces([], first))).toEqual([[0, 0]]);
});

test('endpoints held in more than 250 places of one piece are spread', () => {
  expect(sizes(assignPieces(entries(300), new Map([[0, entries(300)]])))).toEqual([[0, 250], [1, 50]]); // biome-ignore format: a table
});

test('addresses of a backend that an edit drops stay while the document before it is still read', () => {
  const old = [entry(1, true, 'old'), entry(2, true, 'kept')];
  const now = [entry(3, true, 'kept'), entry(4, true, 'new')];
  const both = keepLostBackends(now, new Map([[0, old]]));
  expect(both.map(({ backend, address }) => `${backend} ${address}`)).toEqual([
    'kept 10.0.0.3',
    'new 10.0.0.4',
    'old 10.0.0.1',
  ]);
});

test('without a dropped backend nothing is kept', () => {
  const now = [entry(3, true, 'kept')];
  expect(keepLostBackends(now, new Map([[0, [entry(1, true, 'kept')]]]))).toBe(now);
});
