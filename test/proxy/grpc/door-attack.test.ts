import { type ClientHttp2Stream, constants } from 'node:http2';
import { describe, expect, onTestFinished, test } from 'vitest';
import { frameOf } from '../../../proxy/grpc/frames.ts';
import { eventually } from '../../support/eventually.ts';
import { seriesOf } from '../http/door-series.ts';
import { attacked, attacker, endOf, MULTIPLEXER, open, wrapped } from './attack.ts';
import { tei } from './instances.ts';
import { startPeer } from './peers.ts';

interface Talk {
  readonly stream: ClientHttp2Stream;
  readonly end: Promise<string>;
  answers: number;
}

/** One of each kind, wrapped and plain. */
const KINDS = [
  `${MULTIPLEXER}/Embed`,
  `${MULTIPLEXER}/EmbedStream`,
  `${MULTIPLEXER}/RerankStream`,
  '/tei.v1.Embed/Embed',
  '/tei.v1.Embed/EmbedStream',
];
const PLAIN = { 'x-tei-instance': 'a' };

describe('streams', () => {
  test('10,000 at once: those within the limit are answered, the others refused, the connection lives on', async () => {
    const scene = await attacked();
    const session = attacker(scene);
    const ends = Array.from({ length: 10_000 }, () => {
      const stream = open(session, `${MULTIPLEXER}/Embed`, { 'x-fake-delay-ms': '100' });
      stream.end(wrapped());
      return endOf(stream);
    });
    const seen = Map.groupBy(await Promise.all(ends), (end) => end);
    expect([...seen.keys()].sort()).toEqual(['0', `reset ${constants.NGHTTP2_REFUSED_STREAM}`]);
    expect(seen.get('0')?.length).toBeGreaterThanOrEqual(1024);
    const later = open(session, `${MULTIPLEXER}/Embed`);
    later.end(wrapped());
    expect(await endOf(later)).toBe('0');
    await scene.livesOn();
  });

  test('that are opened and never used hold nothing of an instance', async () => {
    const scene = await attacked();
    for (let n = 0; n < 3; n += 1) {
      const session = attacker(scene);
      for (let index = 0; index < 1_000; index += 1) open(session, KINDS[index % 3] as string);
    }
    await scene.livesOn(20);
  });

  test('[T-8] 1,024 on one connection, of which a third is cancelled time and again: no other is lost', async () => {
    const scene = await attacked();
    const session = attacker(scene);
    const begin = (): Talk => {
      const stream = open(session, `${MULTIPLEXER}/EmbedStream`);
      const talk = { stream, answers: 0, end: endOf(stream) };
      stream.on('data', () => {
        talk.answers += 1;
      });
      stream.write(wrapped());
      return talk;
    };
    let talks = Array.from({ length: 1_024 }, begin);
    for (let wave = 0; wave < 6; wave += 1) {
      await eventually('all are answered', () => talks.every(({ answers }) => answers > 0));
      const cancelled = talks.filter((_, index) => index % 3 === wave % 3);
      for (const { stream } of cancelled) stream.close(constants.NGHTTP2_CANCEL);
      talks = [...talks.filter((talk) => !cancelled.includes(talk)), ...cancelled.map(begin)];
    }
    for (const { stream } of talks) stream.end(wrapped());
    expect(new Set(await Promise.all(talks.map(({ end }) => end)))).toEqual(new Set(['0']));
    await scene.livesOn();
  });

  test('opened and cancelled at once without end: that connection ends, nobody else’s call does', async () => {
    const scene = await attacked();
    const session = attacker(scene);
    const timer = setInterval(() => {
      for (let index = 0; index < 500 && !session.destroyed; index += 1) {
        const stream = open(session, `${MULTIPLEXER}/EmbedStream`, { 'x-fake-stall': '1' });
        stream.write(wrapped());
        stream.close(constants.NGHTTP2_CANCEL);
      }
    }, 5);
    await eventually('the connection ends', () => session.destroyed);
    clearInterval(timer);
    await scene.livesOn(20);
  });
});

describe('a client that never reads', () => {
  test('is not read either, and leaves nothing behind', async () => {
    const scene = await attacked();
    const echo = await startPeer((stream) => {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      stream.pipe(stream);
    });
    onTestFinished(echo.close);
    await scene.door.put(tei('echo', echo.origin));
    const session = attacker(scene);
    const message = frameOf(Buffer.alloc(50_000));
    let written = 0;
    const streams = Array.from({ length: 20 }, () => {
      const stream = open(session, '/tei.v1.Tokenize/TokenizeStream', { 'x-tei-instance': 'echo' });
      stream.pause();
      const send = (left: number): void => {
        stream.write(message, () => {
          written += 1;
          if (left > 0) send(left - 1);
        });
      };
      send(200);
      return stream;
    });
    let last = -1;
    const isStill = (): boolean => {
      const same = written === last;
      last = written;
      return same && written > 0;
    };
    await eventually('nothing more is taken', isStill, { intervalMs: 300 });
    expect(written).toBeLessThan(20 * 100);
    await scene.livesOn(20);
    for (const stream of streams) stream.close(constants.NGHTTP2_CANCEL);
    await eventually('the instance is rid of them', async () => {
      return (await seriesOf(scene.door, 'sluice_in_flight_requests', { pool: 'ml/echo' })) === 0;
    });
    await scene.livesOn();
  });
});

describe('half-closed early', () => {
  test.each(KINDS)('without any message: %s is INVALID_ARGUMENT', async (path) => {
    const scene = await attacked();
    const session = attacker(scene);
    const inData = open(session, path, PLAIN);
    inData.end();
    const inHead = session.request(
      { ':method': 'POST', ':path': path, 'content-type': 'application/grpc', ...PLAIN },
      { endStream: true },
    );
    // A stream of plain tei.v1 may have none: what that means is the instance's to say.
    const expected = path === '/tei.v1.Embed/EmbedStream' ? '0' : '3';
    expect([await endOf(inData), await endOf(inHead)]).toEqual([expected, expected]);
    await scene.livesOn();
  });

  test.each(KINDS)('inside a message: %s is INVALID_ARGUMENT', async (path) => {
    const scene = await attacked();
    for (const bytes of [3, 9]) {
      const stream = open(attacker(scene), path, PLAIN);
      stream.end(wrapped('hello hello').subarray(0, bytes));
      expect(await endOf(stream)).toBe('3');
    }
    await scene.livesOn();
  });

  test('with its last message: every answer comes', async () => {
    const scene = await attacked();
    const stream = open(attacker(scene), `${MULTIPLEXER}/EmbedStream`, { 'x-fake-delay-ms': '5' });
    const end = endOf(stream);
    let bytes = 0;
    stream.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
    });
    stream.end(Buffer.concat(Array.from({ length: 20 }, () => wrapped())));
    expect(await end).toBe('0');
    expect(bytes).toBeGreaterThan(20 * 5);
    await scene.livesOn();
  });
});

describe('messages', () => {
  test.each(KINDS)('whose prefix is above the limit are RESOURCE_EXHAUSTED at once: %s', async (path) => {
    const scene = await attacked({ maxBodyBytes: 100_000 });
    const session = attacker(scene);
    for (const length of [100_001, 0x7fffffff, 0xffffffff]) {
      const stream = open(session, path, PLAIN);
      const prefix = Buffer.alloc(5);
      prefix.writeUInt32BE(length, 1);
      // Nothing of it has come yet, and the client has not finished.
      stream.write(prefix);
      expect(await endOf(stream)).toBe('8');
    }
    await scene.livesOn();
  });

  test('of random bytes end their call in a status, whatever the method, and nobody else’s', async () => {
    const scene = await attacked();
    const session = attacker(scene);
    let seed = 42;
    const random = (below: number): number => {
      seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff;
      return seed % below;
    };
    const ends = Array.from({ length: 500 }, (_, index) => {
      const stream = open(session, KINDS[index % 3] as string);
      const bytes = Buffer.from(Array.from({ length: 1 + random(60) }, () => random(256)));
      stream.end(index % 2 === 0 ? frameOf(bytes) : bytes);
      return endOf(stream);
    });
    // INVALID_ARGUMENT; NOT_FOUND and UNIMPLEMENTED where the bytes happen to mean that; RESOURCE_EXHAUSTED by length.
    for (const end of await Promise.all(ends)) expect(['3', '5', '8', '12']).toContain(end);
    await scene.livesOn();
  });

  test('what is no gRPC is refused: unknown methods, other content types, GET', async () => {
    const scene = await attacked();
    const session = attacker(scene);
    const end = (path: string, headers: Record<string, string> = {}): Promise<string> => {
      const stream = open(session, path, headers);
      if (headers[':method'] === undefined) stream.end(wrapped());
      return endOf(stream);
    };
    for (const path of [
      `${MULTIPLEXER}/EmbedArrow`,
      `${MULTIPLEXER}/`,
      '/',
      '/v1/embeddings',
      '/__proto__/constructor',
    ]) {
      expect(await end(path), path).toBe('12');
    }
    expect(await end(`${MULTIPLEXER}/Embed`, { 'content-type': 'application/json' })).toBe('HTTP 415');
    expect(await end(`${MULTIPLEXER}/Embed`, { ':method': 'GET' })).toBe('HTTP 405');
    await scene.livesOn();
  });
});
