import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createDrain } from '../../../proxy/http/drain.ts';
import { readHead } from '../../../proxy/http/request-head.ts';
import { createHttpServer } from '../../../proxy/http/server.ts';
import { TIMES } from '../../../proxy/times.ts';
import { eventually } from '../../support/eventually.ts';
import { rawClient } from './door.ts';

type Listener = (req: IncomingMessage, res: ServerResponse) => void;

interface Listening {
  readonly port: number;
  readonly server: Server;
  readonly connections: () => Promise<number>;
}

async function listening(listener: Listener, times: Partial<typeof TIMES> = {}): Promise<Listening> {
  const server = createHttpServer(listener, { ...TIMES, ...times });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const connections = (): Promise<number> =>
    new Promise((resolve, reject) => {
      server.getConnections((error, count) => (error === null ? resolve(count) : reject(error)));
    });
  return { server, port: (server.address() as AddressInfo).port, connections };
}

/** Keeps every request it is given, to be answered by hand. */
function keeping(): { listener: Listener; under: { url: string; res: ServerResponse; req: IncomingMessage }[] } {
  const under: { url: string; res: ServerResponse; req: IncomingMessage }[] = [];
  return { under, listener: (req, res) => under.push({ url: req.url ?? '', res, req }) };
}

const get = (path: string, headers = ''): string => `GET ${path} HTTP/1.1\r\nhost: x\r\n${headers}\r\n`;

describe('one connection', () => {
  test('has one request under way at a time, however many came in one write, and each gets its answer in order', async () => {
    let open = 0;
    let most = 0;
    const { port } = await listening((req, res) => {
      open += 1;
      most = Math.max(most, open);
      setImmediate(() => {
        open -= 1;
        res.end(`<${req.url}>`);
      });
    });
    const client = await rawClient(port);
    client.send(Array.from({ length: 200 }, (_, n) => get(`/${n}`)).join(''));
    const seen = await client.until('</199>');
    expect([...seen.matchAll(/<\/(\d+)>/g)].map(([, n]) => Number(n))).toEqual(
      Array.from({ length: 200 }, (_, n) => n),
    );
    expect(most).toBe(1);
  });

  test('gives bodies to those that wait, whole, also where the answer before was sent without reading its own', async () => {
    const seen: string[] = [];
    const { port } = await listening((req, res) => {
      if (req.url === '/unread') {
        res.end();
        return;
      }
      let length = 0;
      req.on('data', (chunk: Buffer) => {
        length += chunk.length;
      });
      req.on('end', () => {
        seen.push(`${req.url} ${length}`);
        res.end();
      });
    });
    const client = await rawClient(port);
    const post = (path: string, length: number): string =>
      `POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-length: ${length}\r\n\r\n${'y'.repeat(length)}`;
    client.send(post('/a', 10) + post('/unread', 10) + post('/b', 500_000) + post('/c', 0) + get('/d') + post('/e', 7));
    await expect.poll(() => seen).toEqual(['/a 10', '/b 500000', '/c 0', '/d 0', '/e 7']);
  });

  test('of a client that leaves takes along what waits: nothing of it is begun', async () => {
    const { listener, under } = keeping();
    const { port, connections } = await listening(listener);
    const client = await rawClient(port);
    client.send(get('/1') + get('/2') + get('/3'));
    await expect.poll(() => under.length).toBe(1);
    let left = false;
    under[0]?.res.on('close', () => {
      left = true;
    });
    client.socket.destroy();
    await eventually('the client has left', () => left);
    under[0]?.res.end();
    await expect.poll(connections).toBe(0);
    expect(under.map(({ url }) => url)).toEqual(['/1']);
  });

  test('that ends with an answer begins none of those that wait', async () => {
    const { listener, under } = keeping();
    const { port } = await listening(listener);
    const client = await rawClient(port);
    client.send(get('/1') + get('/2'));
    await expect.poll(() => under.length).toBe(1);
    under[0]?.res.writeHead(200, ['connection', 'close']);
    under[0]?.res.end('bye');
    expect(await client.closed).toMatch(/^HTTP\/1.1 200 [\s\S]*bye/);
    expect(under).toHaveLength(1);
  });

  test.each([
    ['requests', get('/').repeat(1_000)],
    ['bytes', get('/', `x: ${'y'.repeat(15_000)}\r\n`).repeat(100)],
  ])('is cut when too many %s wait on it', async (_, bytes) => {
    const { listener, under } = keeping();
    const { port } = await listening(listener);
    const client = await rawClient(port);
    client.send(bytes);
    expect(await client.closed).toBe('');
    expect(under).toHaveLength(1);
  });
});

describe('what Node would answer in its own way', () => {
  test.each([
    ['no Host', 'GET / HTTP/1.1\r\n\r\n', 'bad_request'],
    ['an unknown expectation', get('/', 'expect: 200-ok\r\n'), 'expectation_failed'],
    ['a WebSocket', get('/', 'connection: Upgrade\r\nupgrade: websocket\r\n'), 'not_implemented'],
  ])('%s comes to the listener, with its fault', async (_, bytes, code) => {
    const faults: (string | undefined)[] = [];
    const { port } = await listening((req, res) => {
      faults.push(readHead(req).fault?.code);
      res.end('own answer');
    });
    const client = await rawClient(port);
    client.send(bytes);
    expect(await client.until('own answer')).toMatch(/^HTTP\/1.1 200/);
    expect(faults).toEqual([code]);
  });

  test('CONNECT is 405 with Allow, in OpenAI’s form, and the connection ends', async () => {
    const { port, connections } = await listening(() => undefined);
    const client = await rawClient(port);
    client.send('CONNECT example.com:443 HTTP/1.1\r\nhost: example.com:443\r\n\r\n');
    const answer = await client.closed;
    expect(answer).toMatch(/^HTTP\/1.1 405 Method Not Allowed\r\n/);
    expect(answer).toMatch(/\r\nallow: GET, POST, DELETE\r\n/);
    expect(JSON.parse(answer.split('\r\n\r\n')[1] ?? '')).toMatchObject({ error: { code: 'method_not_allowed' } });
    await expect.poll(connections).toBe(0);
  });

  test('a CONNECT behind an answer that has begun is not answered into it', async () => {
    const { listener, under } = keeping();
    const { port } = await listening(listener);
    const client = await rawClient(port);
    client.send(get('/1'));
    await expect.poll(() => under.length).toBe(1);
    under[0]?.res.write('begun');
    await client.until('begun');
    client.send('CONNECT example.com:443 HTTP/1.1\r\nhost: example.com:443\r\n\r\n');
    expect(await client.closed).not.toContain('405');
  });

  test.each([
    ['garbage', 'garbage\r\n\r\n', '400'],
    ['CONNECT', 'CONNECT x:1 HTTP/1.1\r\nhost: x:1\r\n\r\n', '405'],
  ])('a client that sends %s and keeps its side open is cut in time', async (_, bytes, status) => {
    const { port, connections } = await listening(() => undefined, { restMs: 50 });
    const client = await rawClient(port);
    client.socket.allowHalfOpen = true;
    client.send(bytes);
    await client.until(`HTTP/1.1 ${status}`);
    await expect.poll(connections).toBe(0);
  });

  test('a hundred clients that send nonsense and reset crash nothing', async () => {
    const { port, connections } = await listening((_req, res) => res.end('fine'));
    for (const bytes of ['CONNECT x:1 HTTP/1.1\r\n\r\n', 'garbage\r\n\r\n', get('/', 'upgrade: websocket\r\n')]) {
      for (let n = 0; n < 30; n += 1) {
        const client = await rawClient(port);
        client.send(bytes);
        client.socket.resetAndDestroy();
      }
    }
    const client = await rawClient(port);
    client.send(get('/'));
    await client.until('fine');
    client.socket.destroy();
    await expect.poll(connections).toBe(0);
  });
});

describe('a drain', () => {
  test('waits for an upload that is asked for with 100-continue, also as the first on its connection', async () => {
    const { listener, under } = keeping();
    const { port, server } = await listening(listener);
    const drain = createDrain(server);
    const client = await rawClient(port);
    client.send('POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n');
    await expect.poll(() => under.length).toBe(1);
    const drained = drain(10_000);
    under[0]?.res.writeContinue();
    await client.until('100 Continue');
    client.send('{}');
    under[0]?.req.resume();
    under[0]?.res.end('done');
    expect(await client.closed).toContain('done');
    await drained;
  });
});
