import { Metadata } from '@grpc/grpc-js';
import { describe, expect, test } from 'vitest';
import { CODES } from '../../../proxy/grpc/codes.ts';
import { eventually } from '../../support/eventually.ts';
import { type Door, openDoor } from '../http/door.ts';
import { clientKeys, keyed } from '../http/door-credentials.ts';
import type { GrpcClient, Seen, Sent } from './door.ts';
import { embed, grpcOf, named, tei, teis } from './instances.ts';

const KIND = 'EmbeddingInstance';
const withKey = (key: string): Sent => ({ metadata: { authorization: `Bearer ${key}` } });

/** A stream whose client sends when it likes. */
interface Open {
  readonly send: (message: object) => void;
  readonly answers: () => number;
  readonly code: () => number | undefined;
  readonly details: () => string;
  readonly end: () => void;
  readonly cancel: () => void;
}

function openStream(grpc: GrpcClient, metadata: Record<string, string> = {}): Open {
  const stream = (grpc.raw['EmbedStream'] as unknown as (metadata: unknown) => Duplex).call(
    grpc.raw,
    Metadata.fromHttp2Headers(metadata),
  );
  let answers = 0;
  let end: { code: number; details: string } | undefined;
  stream.on('data', () => (answers += 1));
  stream.on('error', () => undefined);
  stream.on('status', (status: never) => {
    end = status;
  });
  return {
    ...{ send: (message) => stream.write(message), end: () => stream.end(), cancel: () => stream.cancel() },
    ...{ answers: () => answers, code: () => end?.code, details: () => end?.details ?? '' },
  };
}

interface Duplex {
  on: (event: string, listener: (value: never) => void) => void;
  write: (message: object) => void;
  end: () => void;
  cancel: () => void;
}

describe('access', () => {
  async function lockedDoor(): Promise<Door> {
    const [a, b, o] = await teis('a', 'b', 'open');
    const door = await openDoor();
    const model = 'BAAI/bge';
    await door.put(
      ...[clientKeys('a', 'a1', { team: 'key-a' }, KIND), clientKeys('b', 'b1', { team: 'key-b' }, KIND)],
      ...[tei('a', a.origin, { model, ...keyed('a1') }), tei('b', b.origin, { model, ...keyed('b1') })],
      ...[tei('open', o.origin), tei('shut', o.origin, keyed('s1')), clientKeys('shut', 's1', undefined, KIND)],
    );
    return door;
  }

  test.each<[string, string, Sent, keyof typeof CODES]>([
    ['without a key', 'a', {}, 'UNAUTHENTICATED'],
    ['with an unknown key', 'a', withKey('nonsense'), 'UNAUTHENTICATED'],
    ['with another scheme', 'a', { metadata: { authorization: 'Basic key-a' } }, 'UNAUTHENTICATED'],
    ['with the key of another instance', 'a', withKey('key-b'), 'PERMISSION_DENIED'],
    ['with its own key', 'a', withKey('key-a'), 'OK'],
    ['with any key, where it is open', 'open', withKey('nonsense'), 'OK'],
    ['with a key, while the Secret is missing', 'shut', withKey('key-a'), 'UNAVAILABLE'],
  ])('%s, of %s: %j is %s', async (_, name, sent, code) => {
    const grpc = grpcOf(await lockedDoor());
    const seen = await grpc.unary('Embed', embed(named(name)), sent);
    expect(seen.code).toBe(CODES[code]);
    expect(seen.details).not.toMatch(/key-|nonsense/);
    expect((await grpc.stream('EmbedStream', [embed(named(name))], sent)).code).toBe(CODES[code]);
  });

  test('a client’s key does not go upstream, nor into the log', async () => {
    const [a] = await teis('a');
    const door = await openDoor();
    await door.put(clientKeys('a', 'a1', { team: 'key-a' }, KIND), tei('a', a.origin, keyed('a1')));
    expect((await grpcOf(door).unary('Embed', embed(named('a')), withKey('key-a'))).code).toBe(CODES.OK);
    expect(a.seen[0]?.get('authorization')).toEqual([]);
    expect(door.log.join('\n')).not.toContain('key-a');
  });

  test('by model id and index 0 a caller gets the instances it may use; where there is none it is told', async () => {
    const door = await lockedDoor();
    const grpc = grpcOf(door);
    const who = async (target: object, sent: Sent): Promise<unknown> => {
      const { code, answers } = await grpc.unary('Info', { target }, sent);
      return code === 0 ? answers[0]?.['model_id'] : code;
    };
    const model = { model_id: 'BAAI/bge' };
    for (let n = 0; n < 3; n += 1) {
      expect([await who(model, withKey('key-a')), await who(model, withKey('key-b'))]).toEqual(['a', 'b']);
      expect(await who({ instance_index: 0 }, {})).toBe('open');
    }
    expect(await who(model, {})).toBe(CODES.UNAUTHENTICATED);
    expect(await who(model, withKey('nonsense'))).toBe(CODES.UNAUTHENTICATED);
  });

  test('is asked for with each message: a key that is taken back ends the stream at the next', async () => {
    const [a] = await teis('a');
    const door = await openDoor();
    await door.put(clientKeys('a', 'a1', { team: 'key-a' }, KIND), tei('a', a.origin, keyed('a1')));
    const stream = openStream(grpcOf(door), { authorization: 'Bearer key-a' });
    const native = openStream(grpcOf(door, 'Embed'), { authorization: 'Bearer key-a', 'x-tei-instance': 'a' });
    stream.send(embed(named('a')));
    native.send({ inputs: 'hello' });
    await eventually('they are answered', () => stream.answers() + native.answers() === 2);
    await door.put(clientKeys('a', 'a2', { team: 'key-b' }, KIND), tei('a', a.origin, keyed('a2')));
    stream.send(embed(named('a')));
    native.send({ inputs: 'hello' });
    await eventually('they end', () => stream.code() !== undefined && native.code() !== undefined);
    expect([stream.code(), native.code()]).toEqual([CODES.UNAUTHENTICATED, CODES.UNAUTHENTICATED]);
    expect(stream.answers() + native.answers()).toBe(2);
  });
});

describe('limits', () => {
  test('of requests: each message of a stream is one', async () => {
    const [a] = await teis('a');
    const door = await openDoor();
    await door.put(tei('a', a.origin, { limits: { pool: { requestsPerMinute: 3 } } }));
    const grpc = grpcOf(door);
    expect((await grpc.unary('Embed', embed(named('a')))).code).toBe(CODES.OK);
    const seen = await grpc.stream(
      'EmbedStream',
      [1, 2, 3].map(() => embed(named('a'))),
    );
    expect([seen.code, seen.answers.length]).toEqual([CODES.RESOURCE_EXHAUSTED, 2]);
    expect(seen.details).toContain("the pool's limit is 3 requests per minute");
    expect((await grpc.unary('Embed', embed(named('a')))).code).toBe(CODES.RESOURCE_EXHAUSTED);
  });

  test('of a client are its own', async () => {
    const [a] = await teis('a');
    const door = await openDoor();
    const limits = { perClient: { requestsPerMinute: 1 } };
    await door.put(tei('a', a.origin, { limits }));
    const grpc = grpcOf(door);
    const call = async (key: string): Promise<number> =>
      (await grpc.unary('Embed', embed(named('a')), withKey(key))).code;
    expect([await call('one'), await call('two'), await call('one')]).toEqual([0, 0, CODES.RESOURCE_EXHAUSTED]);
  });

  test('of tokens reserve a quarter of the bytes, given back where nobody answered', async () => {
    const [a] = await teis('a');
    const door = await openDoor();
    const limits = { pool: { tokensPerMinute: 300 } };
    await door.put(tei('a', a.origin, { limits, retry: { attempts: 1 } }));
    const grpc = grpcOf(door);
    const call = async (metadata = {}): Promise<number> =>
      (await grpc.unary('Embed', embed(named('a'), 'x'.repeat(800)), { metadata })).code;
    expect(await call({ 'x-fake-status': '14' })).toBe(CODES.UNAVAILABLE);
    expect(await call()).toBe(CODES.OK);
    expect(await call()).toBe(CODES.RESOURCE_EXHAUSTED);
  });

  test('of one instance do not stop a model id that another one runs', async () => {
    const [a, b] = await teis('a', 'b');
    const door = await openDoor();
    const [model, limits] = ['BAAI/bge', { pool: { requestsPerMinute: 1 } }];
    await door.put(
      tei('a', a.origin, { model, limits, retry: { attempts: 2 } }),
      tei('b', b.origin, { model, limits }),
    );
    const grpc = grpcOf(door);
    const call = async (): Promise<number> => (await grpc.unary('Info', { target: { model_id: model } })).code;
    expect([await call(), await call(), await call()]).toEqual([0, 0, CODES.RESOURCE_EXHAUSTED]);
  });
});

describe('slots and the queue', () => {
  const slow = { metadata: { 'x-fake-delay-ms': '150' } };

  test('calls beyond the slots wait, those beyond the queue are refused', async () => {
    const [a] = await teis('a');
    const door = await openDoor();
    await door.put(tei('a', a.origin, { queue: { maxDepth: 1 } }, { maxConcurrent: 1 }));
    const grpc = grpcOf(door);
    const calls = Array.from({ length: 4 }, () => grpc.unary('Embed', embed(named('a')), slow));
    const seen = await Promise.all(calls);
    const codes = seen.map(({ code }) => code).sort((one, two) => one - two);
    expect(codes).toEqual([0, 0, CODES.RESOURCE_EXHAUSTED, CODES.RESOURCE_EXHAUSTED]);
    const refused = seen.find(({ code }) => code !== 0) as Seen;
    expect(refused.details).toBe("The queue of pool 'ml/a' is full (1 waiting)");
  });

  test('a call that waits too long is refused', async () => {
    const [a] = await teis('a');
    const door = await openDoor();
    await door.put(tei('a', a.origin, { queue: { timeoutMs: 50 } }, { maxConcurrent: 1 }));
    const grpc = grpcOf(door);
    const stall = { metadata: { 'x-fake-delay-ms': '400' } };
    const [first, second] = [
      grpc.unary('Embed', embed(named('a')), stall),
      grpc.unary('Embed', embed(named('a')), stall),
    ];
    const codes = [(await first).code, (await second).code];
    expect(codes.sort((one, two) => one - two)).toEqual([0, CODES.RESOURCE_EXHAUSTED]);
  });

  test('a full queue of one instance sends a model id to another', async () => {
    const [a, b] = await teis('a', 'b');
    const door = await openDoor();
    const [model, queue] = ['BAAI/bge', { maxDepth: 0 }];
    await door.put(...[a, b].map(({ name, origin }) => tei(name, origin, { model, queue }, { maxConcurrent: 1 })));
    const grpc = grpcOf(door);
    const held = grpc.unary('Embed', embed(named('a')), { metadata: { 'x-fake-delay-ms': '300' } });
    await eventually('it is under way', () => a.seen.length === 1);
    for (let n = 0; n < 3; n += 1) {
      const { answers } = await grpc.unary('Info', { target: { model_id: model } });
      expect(answers[0]?.['model_id']).toBe('b');
    }
    expect((await held).code).toBe(0);
  });

  test('a client that leaves gives its slot back, also while it waits', async () => {
    const [a] = await teis('a');
    const door = await openDoor();
    await door.put(tei('a', a.origin, {}, { maxConcurrent: 1 }));
    const grpc = grpcOf(door);
    const holds = openStream(grpc);
    holds.send(embed(named('a')));
    await eventually('it holds the slot', () => holds.answers() === 1);
    const waits = openStream(grpc);
    waits.send(embed(named('a')));
    await eventually('it waits', async () => /sluice_queue_depth\{pool="ml\/a"\} 1/.test(await door.metrics()));
    waits.cancel();
    await eventually('nobody waits', async () => /sluice_queue_depth\{pool="ml\/a"\} 0/.test(await door.metrics()));
    holds.cancel();
    expect((await grpc.unary('Embed', embed(named('a')))).code).toBe(CODES.OK);
    await eventually('the stream upstream is cancelled', () => a.cancelled() === 1);
  });
});

describe('overload', () => {
  test('refuses new calls as UNAVAILABLE, for another proxy to take, and says why', async () => {
    const [a] = await teis('a');
    const door = await openDoor({ overload: { maxHeapPart: 0, sampleEveryMs: 20 } });
    await door.put(tei('a', a.origin));
    const grpc = grpcOf(door);
    const seen = await eventually('it is refused', async () => {
      const each = await grpc.unary('Embed', embed(named('a')));
      return each.code === CODES.OK ? undefined : each;
    });
    expect(seen).toMatchObject({ code: CODES.UNAVAILABLE, details: 'The proxy is overloaded (heap); try again' });
    expect(await door.metrics()).toMatch(/^sluice_shed_total\{reason="heap"\} [1-9]/m);
  });
});
