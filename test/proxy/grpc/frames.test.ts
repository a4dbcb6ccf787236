import { expect, test } from 'vitest';
import { CODES } from '../../../proxy/grpc/codes.ts';
import { createFrameReader, frameOf, isCompressed, isCutShort, readFrames } from '../../../proxy/grpc/frames.ts';

const frames = ['', 'one', 'a longer message', 'x'.repeat(70_000)].map((text) => frameOf(Buffer.from(text)));
const stream = Buffer.concat(frames);

test.each([1, 2, 3, 5, 7, 64, 16_384, 1_000_000])(
  'frames come out whole, however they are cut: each %i bytes',
  (size) => {
    const reader = createFrameReader(100_000);
    const got: Buffer[] = [];
    for (let at = 0; at < stream.length; at += size) {
      expect(readFrames(reader, stream.subarray(at, at + size), (frame) => got.push(frame))).toBeUndefined();
    }
    expect(got.map((frame) => frame.length)).toEqual(frames.map((frame) => frame.length));
    expect(Buffer.concat(got).equals(stream)).toBe(true);
    expect(isCutShort(reader)).toBe(false);
  },
);

test('a frame that lies in one chunk is a slice of it', () => {
  const got: Buffer[] = [];
  readFrames(createFrameReader(100_000), stream, (frame) => got.push(frame));
  expect(got.every((frame) => frame.buffer === stream.buffer)).toBe(true);
});

test('a message that is too long is refused by its prefix, before any byte of it is kept', () => {
  const reader = createFrameReader(10);
  const prefix = Buffer.from([0, 0, 0, 0, 11]);
  expect(readFrames(reader, prefix.subarray(0, 3), () => {})).toBeUndefined();
  expect(readFrames(reader, prefix.subarray(3), () => {})).toMatchObject({ code: CODES.RESOURCE_EXHAUSTED });
  expect(readFrames(createFrameReader(10), Buffer.from([0, 0xff, 0xff, 0xff, 0xff]), () => {})).toMatchObject({
    code: CODES.RESOURCE_EXHAUSTED,
  });
  expect(readFrames(createFrameReader(10), frameOf(Buffer.alloc(10)), () => {})).toBeUndefined();
});

test('a compression flag other than 0 or 1 is INVALID_ARGUMENT; 1 is told', () => {
  const frame = frameOf(Buffer.from('x'));
  frame[0] = 2;
  expect(readFrames(createFrameReader(10), frame, () => {})).toMatchObject({ code: CODES.INVALID_ARGUMENT });
  frame[0] = 1;
  const got: Buffer[] = [];
  expect(readFrames(createFrameReader(10), frame, (each) => got.push(each))).toBeUndefined();
  expect(got.map(isCompressed)).toEqual([true]);
});

test('a stream that ends inside a frame is cut short', () => {
  const reader = createFrameReader(10);
  readFrames(reader, frameOf(Buffer.from('abc')).subarray(0, 6), () => {});
  expect(isCutShort(reader)).toBe(true);
});
