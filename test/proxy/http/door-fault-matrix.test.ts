import type { Socket } from 'node:net';
import { describe, expect, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import type { Behaviour } from '../../support/fake-llm.ts';
import { freePort } from '../../support/ports.ts';
import { backend, chat, type Door, fakes, openDoor, pool, rawServer } from './door.ts';

/**
 * Every line of the taxonomy, for answers at once and for streams, with another endpoint left, with only a fallback
 * tier left, and with nothing left: what the client sees, what upstreams saw, what the counters say.
 */

interface Upstream {
  readonly name: string;
  readonly url: string;
  /** Requests it has read; undefined where it cannot tell. */
  readonly seen: () => number | undefined;
}

interface Fault {
  readonly open: () => Promise<Upstream>;
  /** The label of `sluice_attempts_total`. */
  readonly outcome: string;
  /** What the client sees when nothing is left. */
  readonly atLast: { readonly status: number; readonly code: string };
  readonly for: readonly ('unary' | 'stream')[];
}

const BOTH = ['unary', 'stream'] as const;
const BAD_GATEWAY = { status: 502, code: 'upstream_error' };

function behaving(behaviour: Behaviour): () => Promise<Upstream> {
  return async () => {
    const [a] = await fakes('a');
    a.behave(behaviour);
    return { name: 'a', url: a.url, seen: () => a.calls.length };
  };
}

function saying(serve: (socket: Socket) => void): () => Promise<Upstream> {
  return async () => {
    const { name, url } = await rawServer('a', (socket) => socket.once('data', () => serve(socket)));
    return { name, url, seen: () => undefined };
  };
}

const answering = (text: string) => saying((socket) => socket.end(text));
const at =
  (url: () => Promise<string>): (() => Promise<Upstream>) =>
  async () => ({ name: 'a', url: await url(), seen: () => undefined });

const HEAD = 'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n';
const EVENTS = 'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n';
const ROLE = 'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n';
const SILENT = { delayMs: 60_000 };
const status = (code: number, outcome: string): Fault => ({
  ...{ open: behaving({ status: code }), outcome, for: BOTH },
  atLast: { status: code, code: `fake_${code}` },
});
const fault = (outcome: string, open: Fault['open'], only: Fault['for'] = BOTH): Fault => ({
  ...{ open, outcome, atLast: BAD_GATEWAY, for: only },
});

const FAULTS: Readonly<Record<string, Fault>> = {
  'refuses the connection': fault(
    'connect',
    at(async () => `http://127.0.0.1:${await freePort()}`),
  ),
  'has a name that does not resolve': fault(
    'connect',
    at(async () => 'http://no-such-host.invalid'),
  ),
  'speaks no TLS': fault('connect', async () => {
    const plain = await answering('HTTP/1.1 400 Bad Request\r\n\r\n')();
    return { ...plain, url: plain.url.replace('http:', 'https:') };
  }),
  'closes before the head': fault('cut', behaving({ closeBeforeHeaders: true })),
  'resets before the head': fault(
    'cut',
    saying((socket) => socket.resetAndDestroy()),
  ),
  'says something other than HTTP': fault('malformed', answering('220 smtp ready\r\n\r\n')),
  'is cut in the head': fault('cut', answering('HTTP/1.1 200 OK\r\nx-a: ')),
  'is cut before the first byte of the body': fault('cut', answering(`${HEAD}content-length: 9\r\n\r\n`)),
  'sends no head in time': fault('timeout', behaving(SILENT)),
  'sends no byte of the body in time': fault('timeout', behaving({ firstByteDelayMs: 60_000 })),
  'answers 500': status(500, 'server_error'),
  'answers 502': status(502, 'server_error'),
  'answers 503': status(503, 'server_error'),
  'answers 408': status(408, 'server_error'),
  'answers 429': status(429, 'rate_limited'),
  'answers 529': status(529, 'rate_limited'),
  'answers 401': { ...status(401, 'credential'), atLast: BAD_GATEWAY },
  'answers 403': { ...status(403, 'credential'), atLast: BAD_GATEWAY },
  'answers nothing': fault('malformed', answering(`${HEAD}content-length: 0\r\n\r\n`), ['unary']),
  'answers a web page': fault('malformed', behaving({ contentType: 'text/html', body: '<p>Hi' }), ['unary']),
  'answers what is no JSON': fault('malformed', behaving({ body: '{"choices":' }), ['unary']),
  'answers an error with 200': fault('malformed', behaving({ body: '{"error":{"message":"no"}}' }), ['unary']),
  'is cut in the middle of an answer': fault('cut', behaving({ cutAfterBytes: 20 }), ['unary']),
  'stalls in the middle of an answer': fault(
    'timeout',
    saying((socket) => void socket.write(`${HEAD}content-length: 90\r\n\r\n{"choices"`)),
    ['unary'],
  ),
  'sends an error as its first event': fault(
    'malformed',
    answering(`${EVENTS}data: {"error":{"message":"no","code":500}}\n\n`),
    ['stream'],
  ),
  'ends its stream at once': fault('malformed', answering(EVENTS), ['stream']),
  'ends its stream before any content': fault('malformed', answering(`${EVENTS}: hello\n\n${ROLE}data: [DONE]\n\n`), [
    'stream',
  ]),
  'is cut before any content': fault(
    'cut',
    saying((socket) => socket.write(EVENTS + ROLE, () => socket.resetAndDestroy())),
    ['stream'],
  ),
  'stalls before any content': fault(
    'timeout',
    saying((socket) => void socket.write(EVENTS + ROLE)),
    ['stream'],
  ),
};

const RULES = {
  strategy: 'Failover',
  retry: { attempts: 3, backoffMs: 1 },
  timeouts: { connectMs: 2_000, firstByteMs: 150, idleMs: 150, requestMs: 10_000 },
};

const CASES = Object.entries(FAULTS).flatMap(([name, one]) => one.for.map((mode) => [name, mode, one] as const));

async function call(door: Door, mode: 'unary' | 'stream'): Promise<Response> {
  return door.post('/v1/chat/completions', chat('chat', { stream: mode === 'stream' }));
}

async function outcomes(door: Door): Promise<Record<string, number>> {
  const lines = (await door.metrics()).matchAll(/^sluice_attempts_total\{.*backend="(\w+)",outcome="(\w+)"\} (\d+)/gm);
  return Object.fromEntries([...lines].map(([, name, outcome, count]) => [`${name} ${outcome}`, Number(count)]));
}

async function settled(door: Door): Promise<void> {
  await eventually('every slot is given back', async () => {
    const { inFlight, endpoints, queue } = await door.pool();
    return inFlight + queue.depth + endpoints.reduce((sum, one) => sum + one.inFlight, 0) === 0;
  });
}

async function text(response: Response): Promise<string> {
  const body = await response.text();
  expect(body).not.toContain('upstream_disconnected');
  return body;
}

describe.each(CASES)(
  'an endpoint that %s, asked for an answer that is %s',
  (_name, mode, { open, outcome, atLast }) => {
    test.each([
      ['another endpoint', 0],
      ['a fallback tier', 1],
    ])('with %s left: the client sees one good answer', async (_left, tier) => {
      const a = await open();
      const [b] = await fakes('b');
      const door = await openDoor();
      await door.put(pool('chat', [backend(a), backend(b, { tier })], RULES));
      const response = await call(door, mode);
      expect([
        response.status,
        response.headers.get('x-sluice-backend'),
        response.headers.get('x-sluice-attempts'),
      ]).toEqual([...[200, 'b', '2']]);
      expect(await text(response)).toContain('"b"');
      expect([a.seen() ?? 1, b.calls.length]).toEqual([1, 1]);
      expect(await outcomes(door)).toEqual({ [`a ${outcome}`]: 1, 'b success': 1 });
      await settled(door);
    });

    test('with nothing left: the client sees one clear error, and no more tries than `attempts`', async () => {
      const a = await open();
      const door = await openDoor();
      await door.put(pool('chat', [backend(a)], RULES));
      const response = await call(door, mode);
      const { error } = (await response.json()) as { error: { code: string } };
      expect({ status: response.status, code: error.code }).toEqual(atLast);
      // A 429 rests its endpoint at once: nobody is asked again.
      const tries = outcome === 'rate_limited' ? 1 : 3;
      expect(response.headers.get('x-sluice-attempts')).toBe(String(tries));
      expect(a.seen() ?? tries).toBe(tries);
      expect(await outcomes(door)).toEqual({ [`a ${outcome}`]: tries });
      if (atLast.status === 429 || atLast.status === 503)
        expect(Number(response.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
      await settled(door);
    });
  },
);
