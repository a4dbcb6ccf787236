import { Agent, request } from 'node:http';
import { expect, test } from 'vitest';
import { ask, connectionsTo, get, Reading, startServer } from './scripted-server.ts';

/** Of a seed, the same numbers each time (mulberry32). */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

interface Case {
  readonly method: string;
  readonly bytes: string;
  /** The connection's end is the answer's. */
  readonly closes: boolean;
}

type Below = (below: number) => number;

const text = (below: Below, length: number): string =>
  String.fromCharCode(...Array.from({ length }, () => (below(8) === 0 ? below(256) : 97 + below(26))));

function fields(below: Below): string {
  const names = ['X-A', 'x-b', 'Date', 'Server', 'Content-Type', 'ETag', '!#$%'];
  const values = ['', 'a', ' a b ', '\tcaf\xe9\t', 'x'.repeat(below(300)), ':', '"q"; a=1, b'];
  const one = (): string => `${names[below(names.length)]}:${values[below(values.length)]}\r\n`;
  return Array.from({ length: below(6) }, one).join('');
}

function chunks(below: Below): string {
  const one = (): string => {
    const data = text(below, 1 + below(400));
    const size = data.length.toString(16);
    const shown = below(2) === 0 ? size.toUpperCase() : `00${size}`;
    return `${shown}${below(4) === 0 ? `;e="${'v'.repeat(below(20))}"` : ''}\r\n${data}\r\n`;
  };
  const trailers = below(4) === 0 ? 'x-t: 1\r\nX-U:\r\n' : '';
  return `${Array.from({ length: below(6) }, one).join('')}0\r\n${trailers}\r\n`;
}

function draw(below: Below): Case {
  const method = below(8) === 0 ? 'HEAD' : 'GET';
  const status = [200, 200, 201, 204, 304, 404, 429, 500, 503, 999][below(10)] ?? 200;
  const interim = ['HTTP/1.1 100 Continue\r\n\r\n', `HTTP/1.1 103 Hints\r\n${fields(below)}\r\n`];
  const before = below(5) === 0 ? (interim[below(2)] ?? '') : '';
  const reason = ['', ' ', ' OK', ' Nicht da\xdf'][below(4)];
  const start = `${before}HTTP/1.1 ${status}${reason}\r\n${fields(below)}`;
  const isBodiless = method === 'HEAD' || status === 204 || status === 304;
  const kind = below(3);
  if (isBodiless) {
    const framing = status === 204 ? '' : (['content-length: 7\r\n', 'Transfer-Encoding: chunked\r\n', ''][kind] ?? '');
    return { method, bytes: `${start}${framing}\r\n`, closes: false };
  }
  const data = text(below, below(1500));
  if (kind === 0) return { method, bytes: `${start}Content-Length: ${data.length}\r\n\r\n${data}`, closes: false };
  if (kind === 1) return { method, bytes: `${start}transfer-encoding: CHUNKED\r\n\r\n${chunks(below)}`, closes: false };
  return { method, bytes: `${start}\r\n${data}`, closes: true };
}

/** What Node's own client makes of it: the same parser that undici has. */
function askNode(url: string, method: string, agent: Agent): Promise<string> {
  return new Promise((resolve, reject) => {
    const outgoing = request(url, { method, agent }, (res) => {
      let body = '';
      res.setEncoding('latin1');
      res.on('data', (piece) => {
        body += piece;
      });
      res.on('error', reject);
      const headers = res.rawHeaders.map((part, at) => (at % 2 === 0 ? part.toLowerCase() : part));
      res.on('end', () => resolve(JSON.stringify([res.statusCode, headers, body])));
    });
    outgoing.on('error', reject).end();
  });
}

test('what this client reads is what Node’s own reads, however the bytes are cut', async () => {
  const below = numbers(20_261_121);
  let current: Case | undefined;
  const server = await startServer((socket) => {
    if (current === undefined) return;
    const { bytes, closes } = current;
    const cuts = Array.from({ length: below(4) }, () => below(bytes.length)).toSorted((a, b) => a - b);
    let at = 0;
    const next = (): void => {
      const cut = cuts.shift() ?? bytes.length;
      socket.write(bytes.slice(at, cut), 'latin1');
      at = cut;
      if (at < bytes.length) setImmediate(next);
      else if (closes) socket.end();
    };
    next();
  });
  const connections = connectionsTo(server.url);
  const agent = new Agent({ keepAlive: true });
  const endMs = performance.now() + 2_500;
  let compared = 0;
  while (performance.now() < endMs && compared < 1_500) {
    current = draw(below);
    const { method } = current;
    const reading = new Reading();
    connections.send({ ...get(), method }, reading);
    const { status, headers, text: body, error } = await reading.over;
    expect([error, current.bytes]).toEqual([undefined, current.bytes]);
    expect(JSON.stringify([status, headers, body])).toBe(await askNode(server.url, method, agent));
    compared += 1;
  }
  expect(compared).toBeGreaterThan(100);
  current = { method: 'GET', bytes: 'HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx', closes: false };
  expect(await ask(connections)).toBe('200 x');
  agent.destroy();
});
