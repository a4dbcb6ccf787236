import { Writable } from 'node:stream';
import { expect, test } from 'vitest';
import { type BoundedLines, boundedLines } from '../../program/bounded-lines.ts';

/** A stream whose reader reads only when told to. */
function slowStream() {
  const written: string[] = [];
  let waiting: (() => void) | undefined;
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      written.push(chunk.toString());
      waiting = done;
    },
  });
  const read = () => {
    const done = waiting;
    waiting = undefined;
    done?.();
  };
  return { stream, written, read };
}

const open = (stream: Writable, maxBytes = 100): BoundedLines =>
  boundedLines({ stream, maxBytes, droppedLine: (count) => `dropped ${count}` });

test('lines of one moment leave in one write, in order', async () => {
  const { stream, written, read } = slowStream();
  const lines = open(stream);
  lines.push('a');
  lines.push('b');
  const flushed = lines.flush();
  read();
  read();
  await flushed;
  expect(written.join('')).toBe('a\nb\n');
});

test('what does not fit is dropped and counted, and said once there is room', async () => {
  const { stream, written, read } = slowStream();
  const lines = open(stream);
  for (let index = 0; index < 30; index++) lines.push('123456789');
  expect(lines.dropped()).toBe(20);
  const flushed = lines.flush();
  read();
  read();
  await flushed;
  lines.push('after');
  await lines.flush(1);
  expect(written.at(-1)).toBe('dropped 20\nafter\n');
  expect(lines.dropped()).toBe(20);
});

test('flush gives up on a reader that never reads', async () => {
  const { stream } = slowStream();
  const lines = open(stream);
  lines.push('a');
  await lines.flush(5);
});

test('a stream that failed drops lines and never throws', async () => {
  const { stream } = slowStream();
  const lines = open(stream);
  stream.destroy(new Error('EPIPE'));
  await new Promise((resolve) => stream.once('close', resolve));
  lines.push('a');
  expect(lines.dropped()).toBe(1);
  await lines.flush();
});
