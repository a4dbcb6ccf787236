import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { seriesOf } from '../http/door-series.ts';
import { attacker, endOf, MULTIPLEXER, open, served, wrapped } from './attack.ts';

const KINDS = [
  `${MULTIPLEXER}/Embed`,
  `${MULTIPLEXER}/EmbedStream`,
  `${MULTIPLEXER}/RerankStream`,
  '/tei.v1.Embed/Embed',
  '/tei.v1.Embed/EmbedStream',
];
const PLAIN = { 'x-tei-instance': 'a' };

const COUNT = 40_000;
/** As one chunk each they were 8. */
const MOST_MEGABYTES = 4;

/** What V8 keeps after a collection of all that nobody refers to. */
function heapMegabytes(): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
  return process.memoryUsage().heapUsed / 2 ** 20;
}

describe('messages that never end', () => {
  test.each(KINDS)('are held up to --max-held-bytes, all together: %s', async (path) => {
    const scene = await served({ maxHeldBytes: 1_000_000 });
    const session = attacker(scene);
    const unfinished = Array.from({ length: 12 }, () => {
      const stream = open(session, path, PLAIN);
      const bytes = Buffer.alloc(100_000);
      bytes.writeUInt32BE(5_000_000, 1);
      stream.write(bytes);
      return stream;
    });
    // UNAVAILABLE: it is the proxy that is short.
    const ended: string[] = [];
    for (const stream of unfinished) void endOf(stream).then((end) => ended.push(end));
    await eventually('some are refused', () => ended.length > 0);
    expect(new Set(ended)).toEqual(new Set(['14']));
    expect(await seriesOf(scene.door, 'sluice_shed_total', { reason: 'held_bytes' })).toBeGreaterThan(0);
    session.destroy();
    // What was held is free again.
    await eventually('a large message is served', async () => {
      const whole = open(attacker(scene), `${MULTIPLEXER}/Embed`);
      whole.end(wrapped('x'.repeat(900_000)));
      return (await endOf(whole)) === '0';
    });
  });

  test.each(KINDS)('byte by byte take about the memory that they are: %s', async (path) => {
    const scene = await served({ maxHeldBytes: COUNT - 1 });
    const stream = open(attacker(scene), path, PLAIN);
    const end = endOf(stream);
    const prefix = Buffer.alloc(5);
    prefix.writeUInt32BE(COUNT * 10, 1);
    stream.write(prefix);
    const before = heapMegabytes();
    let most = 0;
    for (let sent = 0; sent < COUNT && !stream.closed; sent += 1) {
      // A frame of its own.
      await new Promise((resolve) => stream.write(Buffer.alloc(1), resolve));
      if (sent % 10_000 === 9_999) most = Math.max(most, heapMegabytes() - before);
    }
    expect(await end).toBe('14');
    expect(most).toBeLessThan(MOST_MEGABYTES);
  });

  test('end their call after 30 s without a byte', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => void vi.useRealTimers());
    const scene = await served({});
    const stream = open(attacker(scene), `${MULTIPLEXER}/EmbedStream`);
    const end = endOf(stream);
    stream.write(wrapped());
    await new Promise((resolve) => stream.once('data', resolve));
    stream.write(wrapped().subarray(0, 7));
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    vi.advanceTimersByTime(29_000);
    expect(stream.closed).toBe(false);
    vi.advanceTimersByTime(2_000);
    expect(await end).toBe('4');
  });
});
