import { constants, type ServerHttp2Stream } from 'node:http2';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { CODES } from '../../../proxy/grpc/codes.ts';
import { frameOf } from '../../../proxy/grpc/frames.ts';
import { eventually } from '../../support/eventually.ts';
import { freePort } from '../../support/ports.ts';
import { type Door, openDoor } from '../http/door.ts';
import type { Seen } from './door.ts';
import { embed, grpcOf, named, tei, teiOf, teis } from './instances.ts';
import { startPeer } from './peers.ts';

/** Every way in which an endpoint fails, for one answer and for a stream, with another endpoint left and with none. */

interface Fault {
  /** Gives the port of an endpoint that fails so. */
  readonly open: () => Promise<number>;
  /** The label of `sluice_attempts_total`. */
  readonly outcome: string;
  readonly isRetried: boolean;
  /** What the client is told when nothing is left. */
  readonly code: keyof typeof CODES;
}

const HEAD = { ':status': 200, 'content-type': 'application/grpc' };

function peer(onStream: (stream: ServerHttp2Stream) => void): () => Promise<number> {
  return async () => {
    const started = await startPeer((stream) => stream.once('data', () => onStream(stream)));
    onTestFinished(started.close);
    return started.port;
  };
}

function saying(code: keyof typeof CODES): () => Promise<number> {
  return peer((stream) =>
    stream.respond({ ...HEAD, 'grpc-status': String(CODES[code]), 'grpc-message': 'as told' }, { endStream: true }),
  );
}

const fault = (outcome: string, open: Fault['open'], code: Fault['code'] = 'UNAVAILABLE', isRetried = true): Fault => ({
  ...{ open, outcome, isRetried, code },
});

const FAULTS: Readonly<Record<string, Fault>> = {
  'refuses the connection': fault('connect', freePort),
  'resets the connection': fault(
    'cut',
    peer((stream) => stream.session?.socket.destroy()),
  ),
  'resets the stream': fault(
    'cut',
    peer((stream) => stream.close(constants.NGHTTP2_INTERNAL_ERROR)),
    'INTERNAL',
  ),
  'refuses every stream': fault(
    'cut',
    peer((stream) => stream.close(constants.NGHTTP2_REFUSED_STREAM)),
  ),
  'cancels the stream': fault(
    'cut',
    peer((stream) => stream.close(constants.NGHTTP2_CANCEL)),
  ),
  'wants calm': fault(
    'cut',
    peer((stream) => stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM)),
    'RESOURCE_EXHAUSTED',
  ),
  'goes away with an error': fault(
    'cut',
    peer((stream) => stream.session?.goaway(constants.NGHTTP2_INTERNAL_ERROR)),
  ),
  'is cut in the middle of its first answer': fault(
    'cut',
    peer((stream) => {
      stream.respond(HEAD);
      stream.write(frameOf(Buffer.alloc(50)).subarray(0, 20), () => stream.session?.destroy());
    }),
  ),
  'answers HTTP 503': fault(
    'malformed',
    peer((stream) => stream.respond({ ':status': 503 }, { endStream: true })),
  ),
  'answers UNAVAILABLE': fault('server_error', saying('UNAVAILABLE')),
  'answers RESOURCE_EXHAUSTED': fault('rate_limited', saying('RESOURCE_EXHAUSTED'), 'RESOURCE_EXHAUSTED'),
  'answers UNAUTHENTICATED': fault('credential', saying('UNAUTHENTICATED'), 'UNAUTHENTICATED'),
  'answers INTERNAL': fault('server_error', saying('INTERNAL'), 'INTERNAL', false),
  'answers INVALID_ARGUMENT': fault('client_error', saying('INVALID_ARGUMENT'), 'INVALID_ARGUMENT', false),
  'answers DEADLINE_EXCEEDED': fault('timeout', saying('DEADLINE_EXCEEDED'), 'DEADLINE_EXCEEDED', false),
};

const RULES = { retry: { attempts: 3, backoffMs: 1 }, timeouts: { connectMs: 2_000, idleMs: 200, requestMs: 10_000 } };

/** A new proxy asks the first of these ports first: it begins at a random one, of ports sorted as texts. */
function asksFirst(...ports: readonly number[]): void {
  const [first, ...sorted] = [ports[0], ...ports.map(String).sort()];
  const spy = vi.spyOn(Math, 'random').mockReturnValue(sorted.indexOf(String(first)) / 1024);
  onTestFinished(() => spy.mockRestore());
}

const call = (door: Door, kind: string, name = 'bge', inputs = 'hello'): Promise<Seen> =>
  kind === 'unary'
    ? grpcOf(door).unary('Embed', embed(named(name), inputs))
    : grpcOf(door).stream('EmbedStream', [embed(named(name), inputs)]);

async function outcomes(door: Door): Promise<Record<string, number>> {
  const lines = (await door.metrics()).matchAll(/^sluice_attempts_total\{.*outcome="(\w+)"\} (\d+)/gm);
  return Object.fromEntries([...lines].map(([, outcome, count]) => [outcome, Number(count)]));
}

async function settled(door: Door): Promise<void> {
  await eventually('every slot is given back', async () => {
    const lines = [...(await door.metrics()).matchAll(/^sluice_(?:in_flight_requests|queue_depth)\{.*\} (\d+)/gm)];
    return lines.length > 0 && lines.every(([, value]) => value === '0');
  });
}

const CASES = Object.entries(FAULTS).flatMap(([name, one]) =>
  ['unary', 'stream'].map((kind) => [name, kind, one] as const),
);

describe.each(CASES)('an endpoint that %s, in a call that is %s', (_name, kind, { open, outcome, isRetried, code }) => {
  test('with another endpoint left', async () => {
    const [good] = await teis('good');
    const bad = await open();
    asksFirst(bad, good.port);
    const door = await openDoor();
    await door.put(...teiOf('bge', [bad, good.port], RULES));
    const seen = await call(door, kind);
    expect([seen.code, seen.answers.length]).toEqual(isRetried ? [CODES.OK, 1] : [CODES[code], 0]);
    expect(seen.trailers?.get('x-sluice-attempts')).toEqual([isRetried ? '2' : '1']);
    expect(await outcomes(door)).toEqual(isRetried ? { [outcome]: 1, success: 1 } : { [outcome]: 1 });
    await settled(door);
  });

  test('with none left: one status, after no more tries than `attempts`', async () => {
    const door = await openDoor();
    await door.put(...teiOf('bge', [await open()], RULES));
    const seen = await call(door, kind);
    expect([seen.code, seen.answers]).toEqual([CODES[code], []]);
    if (outcome === 'connect') expect(seen.details).toContain('Failed to connect to backend');
    const tries = isRetried ? 3 : 1;
    expect(seen.trailers?.get('x-sluice-attempts')).toEqual([String(tries)]);
    expect(await outcomes(door)).toEqual({ [outcome]: tries });
    await settled(door);
  });
});

describe('an endpoint that is silent', () => {
  test('costs a unary call its time, which goes upstream where the client gave none', async () => {
    const [a] = await teis('a');
    const door = await openDoor();
    await door.put(tei('bge', a.origin, { timeouts: { requestMs: 300 } }));
    const metadata = { 'x-fake-stall': '1' };
    const seen = await grpcOf(door).unary('Embed', embed(named('bge')), { metadata });
    // The server knows the time as well, and may be the first to say that it is over.
    expect(seen.code).toBe(CODES.DEADLINE_EXCEEDED);
    expect(await outcomes(door)).toEqual({ timeout: 1 });
    await eventually('the call ends upstream', () => a.cancelled() === 1);
    await settled(door);
  });

  test('loses a stream that waits for its first answer to another endpoint', async () => {
    const [a, b] = await teis('a', 'b');
    asksFirst(a.port, b.port);
    const door = await openDoor();
    await door.put(...teiOf('bge', [a.port, b.port], { timeouts: { requestMs: 200 } }));
    const metadata = { 'x-fake-stall': '1', 'x-fake-only': 'a' };
    const seen = await grpcOf(door).stream('PredictStream', [embed(named('bge'))], { metadata });
    expect(seen).toMatchObject({ code: 0, answers: [{ predictions: [{ label: 'b' }] }] });
    expect(await outcomes(door)).toEqual({ timeout: 1, success: 1 });
  });

  test('ends a stream that waits for a later answer; those before it stay', async () => {
    const [a] = await teis('a');
    const door = await openDoor();
    await door.put(tei('bge', a.origin, { timeouts: { idleMs: 200 } }));
    const metadata = { 'x-fake-stall': '1', 'x-fake-after': '1' };
    const seen = await grpcOf(door).stream('EmbedStream', [embed(named('bge')), embed(named('bge'))], { metadata });
    expect(seen).toMatchObject({ code: CODES.UNAVAILABLE, answers: [{ embeddings: [5] }] });
    expect(await outcomes(door)).toEqual({ timeout: 1 });
    await settled(door);
  });

  test('is none that owes nothing: a stream may wait for its client as long as that likes', async () => {
    const [a] = await teis('a');
    const door = await openDoor();
    await door.put(tei('bge', a.origin, { timeouts: { idleMs: 50, requestMs: 200 } }));
    const stream = grpcOf(door).raw['EmbedStream']?.() as unknown as Duplex;
    let answers = 0;
    stream.on('data', () => (answers += 1));
    stream.write(embed(named('bge')));
    await eventually('it is answered', () => answers === 1);
    // Real time has to pass here: that nothing happens in it is what is tested.
    await new Promise((resolve) => setTimeout(resolve, 400));
    stream.write(embed(named('bge')));
    await eventually('it is answered again', () => answers === 2);
    const ended = new Promise<void>((resolve) => stream.on('end', resolve));
    stream.end();
    await ended;
  });
});

interface Duplex {
  on: (event: string, listener: () => void) => void;
  write: (message: object) => void;
  end: () => void;
}

describe('a cut in mid-stream', () => {
  test('is UNAVAILABLE; answers already given stay', async () => {
    const [a, b] = await teis('a', 'b');
    const door = await openDoor();
    await door.put(...teiOf('bge', [a.port, b.port]));
    const metadata = { 'x-fake-cut': '1', 'x-fake-after': '2' };
    const messages = Array.from({ length: 4 }, () => embed(named('bge')));
    const seen = await grpcOf(door).stream('EmbedStream', messages, { metadata });
    expect(seen).toMatchObject({ code: CODES.UNAVAILABLE });
    // A reset may overtake the second.
    expect(seen.answers.map(({ embeddings }) => embeddings)).toEqual([[5], [5]].slice(0, seen.answers.length || 1));
    expect(seen.details).toContain('Failed to connect to backend');
    expect(await outcomes(door)).toEqual({ cut: 1 });
    await settled(door);
  });
});

describe('where the target means any of several instances', () => {
  test.each([
    ['a model id', { model_id: 'BAAI/bge' }],
    ['index 0', { instance_index: 0 }],
  ])('a retry goes to another one: %s', async (_, target) => {
    const [b] = await teis('b');
    const door = await openDoor();
    const fields = { model: 'BAAI/bge', ...RULES };
    await door.put(tei('a', `http://127.0.0.1:${await freePort()}`, fields), tei('b', b.origin, fields));
    const grpc = grpcOf(door);
    for (let n = 0; n < 4; n += 1) {
      const seen = await grpc.unary('Info', { target });
      expect([seen.code, seen.trailers?.get('x-sluice-backend')]).toEqual([CODES.OK, ['b']]);
    }
    await settled(door);
  });

  test('by name it does not', async () => {
    const [b] = await teis('b');
    const door = await openDoor();
    const fields = { model: 'BAAI/bge', ...RULES };
    await door.put(tei('a', `http://127.0.0.1:${await freePort()}`, fields), tei('b', b.origin, fields));
    expect((await call(door, 'unary', 'a')).code).toBe(CODES.UNAVAILABLE);
    expect((await call(door, 'stream', 'a')).code).toBe(CODES.UNAVAILABLE);
    expect(b.seen).toEqual([]);
  });

  test('with all of them failing the client is told by the last, after no more tries than `attempts`', async () => {
    const door = await openDoor();
    const fields = { model: 'BAAI/bge', retry: { attempts: 5, backoffMs: 1 } };
    const nobody = async (): Promise<string> => `http://127.0.0.1:${await freePort()}`;
    await door.put(tei('a', await nobody(), fields), tei('b', await nobody(), fields));
    const seen = await grpcOf(door).unary('Info', { target: { model_id: 'BAAI/bge' } });
    expect([seen.code, seen.trailers?.get('x-sluice-attempts')]).toEqual([CODES.UNAVAILABLE, ['5']]);
    await settled(door);
  });
});

describe('rests', () => {
  const failing = { 'x-fake-status': '14', 'x-fake-only': 'a' };

  test('an endpoint that failed several calls in a row is left alone, the last one of an instance never', async () => {
    const [a, b] = await teis('a', 'b');
    const door = await openDoor();
    const ejection = { consecutiveFailures: 2, failureMs: 60_000 };
    await door.put(
      ...teiOf('two', [a.port, b.port], { ejection, ...RULES }),
      tei('one', a.origin, { ejection, ...RULES }),
    );
    const grpc = grpcOf(door);
    for (let n = 0; n < 12; n += 1) {
      expect((await grpc.unary('Embed', embed(named('two')), { metadata: failing })).code).toBe(CODES.OK);
    }
    expect(a.seen.length).toBe(2);
    for (let n = 0; n < 6; n += 1) {
      expect((await grpc.unary('Embed', embed(named('one')), { metadata: failing })).code).toBe(CODES.UNAVAILABLE);
    }
    expect((await grpc.unary('Embed', embed(named('one')))).code).toBe(CODES.OK);
  });

  test('one that is overloaded rests at once, but the last one is asked again', async () => {
    const [a, b] = await teis('a', 'b');
    const door = await openDoor();
    const ejection = { rateLimitedMs: 60_000 };
    await door.put(
      ...teiOf('two', [a.port, b.port], { ejection }),
      tei('one', a.origin, { ejection, retry: { attempts: 1 } }),
    );
    const grpc = grpcOf(door);
    const busy = { 'x-fake-status': '8', 'x-fake-only': 'a' };
    for (let n = 0; n < 6; n += 1) {
      expect((await grpc.unary('Embed', embed(named('two')), { metadata: busy })).code).toBe(CODES.OK);
    }
    expect(a.seen.length).toBe(1);
    for (let n = 0; n < 3; n += 1) {
      const seen = await grpc.unary('Embed', embed(named('one')), { metadata: busy });
      expect(seen).toMatchObject({ code: CODES.RESOURCE_EXHAUSTED, details: 'as told: ü' });
    }
    expect(a.seen.length).toBe(4);
  });

  test('INTERNAL speaks against the endpoint as well, though the call is not tried again', async () => {
    const [a, b] = await teis('a', 'b');
    const door = await openDoor();
    await door.put(...teiOf('bge', [a.port, b.port], { ejection: { consecutiveFailures: 3, failureMs: 60_000 } }));
    const grpc = grpcOf(door);
    const metadata = { 'x-fake-status': '13', 'x-fake-only': 'a' };
    let failed = 0;
    for (let n = 0; n < 16; n += 1) {
      failed += (await grpc.unary('Embed', embed(named('bge')), { metadata })).code === CODES.INTERNAL ? 1 : 0;
    }
    expect([failed, a.seen.length]).toEqual([3, 3]);
  });
});

test('an endpoint that a stream tries after its rest serves others as soon as that is answered', async () => {
  const [a, b] = await teis('a', 'b');
  const door = await openDoor();
  const fields = { ejection: { consecutiveFailures: 1, failureMs: 60_000 }, retry: { attempts: 1 } };
  await door.put(...teiOf('bge', [a.port, b.port], fields));
  const grpc = grpcOf(door);
  const metadata = { 'x-fake-status': '14', 'x-fake-only': 'a' };
  await eventually('one rests', async () => {
    await grpc.unary('Embed', embed(named('bge')), { metadata });
    return /^sluice_endpoints\{.*state="ejected"\} 1/m.test(await door.metrics());
  });
  // The last one left rests no longer: a call tries it.
  await door.put(...teiOf('bge', [a.port], fields));
  const stream = grpc.raw['EmbedStream']?.() as unknown as Duplex;
  let answers = 0;
  stream.on('error', () => undefined);
  stream.on('data', () => (answers += 1));
  stream.write(embed(named('bge')));
  await eventually('the stream is answered', () => answers === 1);
  const seen = await grpc.unary('Embed', embed(named('bge')), { options: { deadline: Date.now() + 3_000 } });
  expect(seen.code).toBe(CODES.OK);
  stream.end();
});

test('retries are bounded by the budget: beyond it the upstream’s word passes at once', async () => {
  const [a] = await teis('a');
  const door = await openDoor();
  await door.put(tei('bge', a.origin, { retry: { attempts: 10, backoffMs: 0, budgetPercent: 0 } }));
  const grpc = grpcOf(door);
  const metadata = { 'x-fake-status': '14' };
  const calls = Array.from({ length: 10 }, () => grpc.unary('Embed', embed(named('bge')), { metadata }));
  for (const { code } of await Promise.all(calls)) expect(code).toBe(CODES.UNAVAILABLE);
  // Ten a second are always allowed, and all of this may fall into two of them.
  expect(a.seen.length).toBeLessThanOrEqual(30);
  expect(await door.metrics()).toMatch(/^sluice_retry_budget_exhausted_total\{pool="ml\/bge"\} [1-9]/m);
});
