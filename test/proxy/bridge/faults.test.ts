import type { ServerHttp2Stream } from 'node:http2';
import { describe, expect, test } from 'vitest';
import { frameOf } from '../../../proxy/grpc/frames.ts';
import { eventually } from '../../support/eventually.ts';
import { freePort } from '../../support/ports.ts';
import { tei, teiOf, teis } from '../grpc/instances.ts';
import { type Door, errorOf, openDoor } from '../http/door.ts';
import { seriesOf } from '../http/door-series.ts';
import { answerWith, EMBEDDED, HEAD, peerThat, resetting, saying } from './peers.ts';

const EMBED = '/instances/e/embed';
const INPUTS = { unary: 'x', stream: ['x', 'y'] };
const RULES = { maxBatch: 32, retry: { attempts: 3, backoffMs: 1 } };

type Serve = (stream: ServerHttp2Stream) => void;

interface Fault {
  /** Undefined: nothing listens. */
  readonly serve: Serve | undefined;
  readonly outcome: string;
  /** What the client gets where there is nobody else. */
  readonly status: number;
  readonly isRetried: boolean;
}

const fault = (serve: Serve | undefined, outcome: string, status = 502, isRetried = true): Fault => ({
  ...{ serve, outcome, status, isRetried },
});

const FAULTS: Readonly<Record<string, Fault>> = {
  'is not there': fault(undefined, 'connect'),
  'resets the stream': fault(resetting('NGHTTP2_INTERNAL_ERROR'), 'cut'),
  'ends the connection': fault((stream) => stream.session?.destroy(), 'cut'),
  'is cut in the middle of an answer': fault((stream) => {
    stream.respond(HEAD);
    stream.write(EMBEDDED.subarray(0, 7), () => stream.session?.destroy());
  }, 'cut'),
  'speaks HTTP and no gRPC': fault((stream) => {
    stream.respond({ ':status': 200, 'content-type': 'text/html' });
    stream.end('hello');
  }, 'malformed'),
  'ends without a status': fault((stream) => {
    stream.respond(HEAD);
    stream.end(EMBEDDED);
  }, 'malformed'),
  'says OK and nothing else': fault((stream) => answerWith(stream, Buffer.alloc(0)), 'malformed'),
  'answers more than was asked': fault(
    (stream) => answerWith(stream, Buffer.concat([EMBEDDED, EMBEDDED, EMBEDDED])),
    'malformed',
  ),
  'answers half a message': fault((stream) => answerWith(stream, EMBEDDED.subarray(0, 7)), 'malformed'),
  'answers bytes that are no message': fault((stream) => answerWith(stream, frameOf(Buffer.from([7]))), 'malformed'),
  'answers half a float': fault((stream) => answerWith(stream, frameOf(Buffer.from([10, 2, 0, 0]))), 'malformed'),
  'answers what it calls compressed': fault((stream) => {
    const compressed = Buffer.from(EMBEDDED);
    compressed[0] = 1;
    answerWith(stream, compressed);
  }, 'malformed'),
  'promises more than can be held': fault((stream) => {
    stream.respond(HEAD);
    stream.write(Buffer.from([0, 0x7f, 0xff, 0xff, 0xff]));
  }, 'malformed'),
  'says UNAVAILABLE': fault(saying('UNAVAILABLE'), 'server_error', 503),
  'says RESOURCE_EXHAUSTED': fault(saying('RESOURCE_EXHAUSTED'), 'rate_limited', 429),
  'says UNAUTHENTICATED': fault(saying('UNAUTHENTICATED'), 'credential'),
  'says PERMISSION_DENIED': fault(saying('PERMISSION_DENIED'), 'credential'),
  'says INTERNAL': fault(saying('INTERNAL'), 'server_error', 502, false),
  'says INVALID_ARGUMENT': fault(saying('INVALID_ARGUMENT'), 'client_error', 422, false),
  'says FAILED_PRECONDITION': fault(saying('FAILED_PRECONDITION'), 'client_error', 424, false),
  'says UNIMPLEMENTED': fault(saying('UNIMPLEMENTED'), 'client_error', 501, false),
  'says DEADLINE_EXCEEDED': fault(saying('DEADLINE_EXCEEDED'), 'timeout', 504, false),
};

async function outcomes(door: Door): Promise<Record<string, number>> {
  const lines = (await door.metrics()).matchAll(/^sluice_attempts_total\{.*outcome="(\w+)"\} (\d+)/gm);
  return Object.fromEntries([...lines].map(([, outcome, count]) => [outcome, Number(count)]));
}

async function portOf({ serve }: Fault): Promise<number> {
  return serve === undefined ? await freePort() : (await peerThat(serve)).port;
}

const CASES = Object.entries(FAULTS).flatMap(([name, is]) =>
  (['unary', 'stream'] as const).map((kind) => ({ name, kind, fault: is })),
);

describe('an instance that speaks gRPC, called over HTTP', () => {
  test.each(CASES)('an endpoint that $name: $kind, another is well', async ({ kind, fault: is }) => {
    const [well] = await teis('well');
    const door = await openDoor();
    await door.put(...teiOf('e', [await portOf(is), well.port], RULES));
    const statuses: number[] = [];
    for (let n = 0; n < 2; n += 1) statuses.push((await door.post(EMBED, { inputs: INPUTS[kind] })).status);
    expect(statuses.sort()).toEqual(is.isRetried ? [200, 200] : [200, is.status]);
    expect(Object.keys(await outcomes(door)).sort()).toEqual([is.outcome, 'success'].sort());
    expect(await inFlight(door)).toBe(0);
  });

  test.each(CASES)('an endpoint that $name: $kind, and there is no other', async ({ kind, fault: is }) => {
    const door = await openDoor();
    await door.put(...teiOf('e', [await portOf(is)], RULES));
    const response = await door.post(EMBED, { inputs: INPUTS[kind] });
    expect(response.status).toBe(is.status);
    expect(response.headers.get('x-sluice-attempts')).toBe(is.isRetried ? '3' : '1');
    expect(await outcomes(door)).toEqual({ [is.outcome]: is.isRetried ? 3 : 1 });
    expect(await inFlight(door)).toBe(0);
  });

  test.each([
    ['UNAVAILABLE', 503, 'Unhealthy', 'server_error'],
    ['RESOURCE_EXHAUSTED', 429, 'Overloaded', 'rate_limit_error'],
    ['INVALID_ARGUMENT', 422, 'Validation', 'invalid_request_error'],
    ['FAILED_PRECONDITION', 424, 'Backend', 'invalid_request_error'],
    ['UNIMPLEMENTED', 501, 'Backend', 'server_error'],
  ] as const)(
    '%s is %i, in TEI’s words, and in OpenAI’s to OpenAI’s clients',
    async (code, status, type, openAiType) => {
      const peer = await peerThat(saying(code));
      const door = await openDoor();
      await door.put(tei('e', peer.origin, { ...RULES, retry: { attempts: 1 } }));
      const rest = await door.post(EMBED, { inputs: 'x' });
      expect([rest.status, await rest.json()]).toEqual([status, { error: 'as told', error_type: type }]);
      expect(rest.headers.has('retry-after')).toBe(status === 429 || status === 503);
      const openAi = await door.post('/v1/embeddings', { model: 'e', input: 'x' });
      const error = { message: 'as told', type: openAiType, param: null, code: code.toLowerCase() };
      expect([openAi.status, await openAi.json()]).toEqual([status, { error }]);
    },
  );

  test('an input that TEI calls empty is 400, as over its own REST', async () => {
    const peer = await peerThat(saying('INVALID_ARGUMENT', { 'grpc-message': '`inputs` cannot be empty' }));
    const door = await openDoor();
    await door.put(tei('e', peer.origin, RULES));
    const response = await door.post(EMBED, { inputs: '' });
    const error = { error: '`inputs` cannot be empty', error_type: 'Empty' };
    expect([response.status, await response.json()]).toEqual([400, error]);
  });

  test('what the client does wrong rests no endpoint; what an endpoint asks for with its 429 is kept', async () => {
    const [a] = await teis('a');
    const door = await openDoor();
    const ejection = { consecutiveFailures: 1, failureMs: 60_000, rateLimitedMs: 1, maxCooldownMs: 60_000 };
    const busy = await peerThat(saying('RESOURCE_EXHAUSTED', { 'retry-after-ms': '30000' }));
    await door.put(...teiOf('e', [a.port, busy.port], { ...RULES, ejection }));
    const wrong = { 'x-fake-status': '3', 'x-fake-only': 'a' };
    for (let n = 0; n < 6; n += 1) await door.post(EMBED, { inputs: 'x' }, { headers: wrong });
    for (const state of ['ready', 'cooling']) {
      expect(await seriesOf(door, 'sluice_endpoints', { pool: 'ml/e', state }), state).toBe(1);
    }
  });

  test.each<[string, Serve]>([
    ['refuses a call unseen', resetting('NGHTTP2_REFUSED_STREAM')],
    ['ends a kept connection just as a call comes', (stream) => stream.session?.destroy()],
  ])('a server that %s is asked once more, which is no attempt', async (_, once) => {
    let calls = 0;
    const peer = await peerThat((stream) => {
      calls += 1;
      if (calls === 2) once(stream);
      else answerWith(stream, EMBEDDED);
    });
    const door = await openDoor();
    await door.put(tei('e', peer.origin, RULES));
    for (let n = 0; n < 2; n += 1) {
      const response = await door.post(EMBED, { inputs: 'x' });
      expect([response.status, response.headers.get('x-sluice-attempts')]).toEqual([200, '1']);
    }
    expect(calls).toBe(3);
    expect(await outcomes(door)).toEqual({ success: 2 });
  });

  test('fewer answers than inputs are no answer', async () => {
    const peer = await peerThat((stream) => answerWith(stream, EMBEDDED));
    const door = await openDoor();
    await door.put(tei('e', peer.origin, RULES));
    expect(await errorOf(await door.post(EMBED, { inputs: ['x', 'y'] }))).toMatchObject({
      ...{ status: 502, code: 'upstream_error' },
    });
    expect(await outcomes(door)).toEqual({ malformed: 3 });
  });

  test('one that never answers is given up at `timeouts.request`, and hears of it', async () => {
    const [a] = await teis('a');
    const door = await openDoor();
    await door.put(tei('e', a.origin, { ...RULES, timeouts: { connectMs: 2_000, requestMs: 100, idleMs: 0 } }));
    const headers = { 'x-fake-stall': 'yes' };
    for (const inputs of Object.values(INPUTS)) {
      expect(await errorOf(await door.post(EMBED, { inputs }, { headers }))).toMatchObject({
        ...{ status: 504, code: 'timeout' },
      });
    }
    await eventually('both calls are cancelled there', () => (a.cancelled() === 2 ? true : undefined));
    expect(await inFlight(door)).toBe(0);
  });

  test('a client that leaves cancels its call there, and gives its slot back', async () => {
    const [a] = await teis('a');
    const door = await openDoor();
    await door.put(tei('e', a.origin, RULES, { maxConcurrent: 1 }));
    const leaving = new AbortController();
    const init = { headers: { 'x-fake-stall': 'yes' }, signal: leaving.signal };
    const left = door.post(EMBED, { inputs: ['x', 'y'] }, init).catch(() => 'left');
    await eventually('it is under way', () => (a.seen.length === 1 ? true : undefined));
    leaving.abort();
    expect(await left).toBe('left');
    await eventually('it is cancelled there', () => (a.cancelled() === 1 ? true : undefined));
    expect((await door.post(EMBED, { inputs: 'x' })).status).toBe(200);
  });

  test('the server has no more of a batch at a time than it takes', async () => {
    let received = 0;
    let peers: ServerHttp2Stream | undefined;
    const peer = await peerThat((stream) => {
      peers = stream;
      stream.on('data', (chunk: Buffer) => {
        received += chunk.length;
      });
      stream.respond(HEAD, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    });
    const door = await openDoor();
    await door.put(tei('e', peer.origin, { maxBatch: 4 }));
    const one = frameOf(Buffer.from([0x0a, 1, 0x78, 0x10, 1])).length;
    const answer = door.post(EMBED, { inputs: Array.from({ length: 10 }, () => 'x') });
    const gets = (count: number): Promise<unknown> =>
      eventually(`${count} inputs`, () => (received === count * one ? true : undefined));
    await gets(4);
    peers?.write(Buffer.concat([EMBEDDED, EMBEDDED]));
    await gets(6);
    peers?.end(Buffer.concat(Array.from({ length: 8 }, () => EMBEDDED)));
    expect(await (await answer).json()).toEqual(Array.from({ length: 10 }, () => [1]));
  });

  test('an error after its first quarter of a megabyte cuts the answer, which is never called whole', async () => {
    const large = frameOf(Buffer.concat([Buffer.from([0x0a, 0x80, 0x80, 0x10]), Buffer.alloc(262_144, 1)]));
    const peer = await peerThat((stream) => {
      stream.respond(HEAD, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '13' }));
      stream.end(large);
    });
    const door = await openDoor();
    await door.put(tei('e', peer.origin, RULES));
    const response = await door.post(EMBED, { inputs: ['x', 'y'] });
    expect(response.status).toBe(200);
    await expect(response.text()).rejects.toThrow();
    expect(await inFlight(door)).toBe(0);
  });
});

function inFlight(door: Door): Promise<number | undefined> {
  return seriesOf(door, 'sluice_in_flight_requests', { pool: 'ml/e' });
}
