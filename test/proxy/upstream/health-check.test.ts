import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTcpServer, type Socket } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Endpoint } from '../../../proxy/pool.ts';
import { createHttpCheck } from '../../../proxy/upstream/health-check.ts';
import { createConnections } from '../../../proxy/upstream/http1/connections.ts';
import { eventually } from '../../support/eventually.ts';
import { poolOf } from '../balance/pools.ts';

const check = createHttpCheck('1.2.3');
const pool = poolOf([{ name: 'a' }]);

async function listen(server: Server | ReturnType<typeof createTcpServer>): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.close();
    if ('closeAllConnections' in server) server.closeAllConnections();
  });
  return `http://127.0.0.1:${(server.address() as { port: number }).port}`;
}

function serve(answer: (req: IncomingMessage, res: ServerResponse) => void): Promise<string> {
  return listen(createServer(answer));
}

/** An endpoint at this origin. */
function endpointAt(origin: string, { basePath = '', headers = [] as string[], query = '' } = {}): Endpoint {
  const [endpoint] = poolOf([{ name: 'a' }]).tiers[0]?.endpoints ?? [];
  if (endpoint === undefined) throw new Error('no endpoint');
  const connections = createConnections({ origin, connectMs: 0, lookup: () => undefined });
  onTestFinished(connections.close);
  endpoint.state.connections = connections;
  return { ...endpoint, basePath, backend: { ...endpoint.backend, headers, query } };
}

const ask = (endpoint: Endpoint, path = '/health', timeoutMs = 5_000): Promise<boolean> =>
  check(endpoint, path, timeoutMs, pool);

describe('a health check', () => {
  test.each([
    [200, true],
    [204, true],
    [302, true],
    [400, true],
    [401, true],
    [404, true],
    [429, true],
    [500, false],
    [502, false],
    [503, false],
  ])('that is answered by %i finds the endpoint well: %s', async (status, isWell) => {
    const origin = await serve((_, res) => res.writeHead(status).end());
    expect(await ask(endpointAt(origin))).toBe(isWell);
  });

  test.each([
    ['/health', '/v1', '', '/health'],
    ['/health', '', '', '/health'],
    ['models', '/v1', '', '/v1/models'],
    ['models', '', '', '/models'],
    ['', '/v1', '', '/v1'],
    ['', '', '', '/'],
    ['models', '/v1', 'api-version=2&x=%20', '/v1/models?api-version=2&x=%20'],
    ['/h?deep=1', '/v1', 'api-version=2', '/h?deep=1&api-version=2'],
  ])('of path %j at base path %j with query %j asks for %s', async (path, basePath, query, target) => {
    const seen: string[] = [];
    const origin = await serve((req, res) => {
      seen.push(`${req.method} ${req.url}`);
      res.end();
    });
    await ask(endpointAt(origin, { basePath, query }), path);
    expect(seen).toEqual([`GET ${target}`]);
  });

  test('says who asks, and carries the headers that the backend is called with', async () => {
    let seen: IncomingMessage['headers'] = {};
    const origin = await serve((req, res) => {
      seen = req.headers;
      res.end();
    });
    await ask(endpointAt(origin, { headers: ['authorization', 'Bearer k', 'x-team', 'search'] }));
    expect(seen).toMatchObject({ 'user-agent': 'sluice-health/1.2.3', authorization: 'Bearer k', 'x-team': 'search' });
    await ask(endpointAt(origin, { headers: ['user-agent', 'mine'] }));
    expect(seen['user-agent']).toBe('mine');
  });

  test('uses one connection again and again', async () => {
    const ports = new Set<number | undefined>();
    const origin = await serve((req, res) => {
      ports.add(req.socket.remotePort);
      res.end('well');
    });
    const endpoint = endpointAt(origin);
    for (let n = 0; n < 5; n += 1) expect(await ask(endpoint)).toBe(true);
    expect(ports.size).toBe(1);
  });

  test('that is refused, reset or answered by nonsense finds the endpoint bad', async () => {
    const gone = createTcpServer();
    const refusing = await listen(gone);
    await new Promise((resolve) => gone.close(resolve));
    expect(await ask(endpointAt(refusing))).toBe(false);
    const resetting = await listen(createTcpServer((socket) => socket.on('error', () => undefined).resetAndDestroy()));
    expect(await ask(endpointAt(resetting))).toBe(false);
    const babbling = await listen(createTcpServer((socket) => socket.once('data', () => socket.end('hello\r\n\r\n'))));
    expect(await ask(endpointAt(babbling))).toBe(false);
  });

  test.each<[string, (socket: Socket) => void]>([
    ['never answers', () => undefined],
    ['answers by half a head', (socket) => socket.write('HTTP/1.1 200 OK\r\nx-a: ')],
    ['never ends its body', (socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf')],
  ])('ends in time at a server that %s, and lets the connection go', async (_, speak) => {
    let isClosed = false;
    const origin = await listen(
      createTcpServer((socket) => {
        socket
          .on('error', () => undefined)
          .on('close', () => {
            isClosed = true;
          });
        socket.once('data', () => speak(socket));
      }),
    );
    const startedAt = performance.now();
    expect(await ask(endpointAt(origin), '/health', 150)).toBe(false);
    expect(performance.now() - startedAt).toBeLessThan(2_000);
    await eventually('the connection is closed', () => isClosed);
  });

  test('ends in time while it is still connecting', async () => {
    // TEST-NET-1 (RFC 5737): nobody answers there, whether or not a route leads to it.
    const startedAt = performance.now();
    expect(await ask(endpointAt('http://192.0.2.1:9'), '/health', 150)).toBe(false);
    expect(performance.now() - startedAt).toBeLessThan(2_000);
  });

  test('reads no more than 64 KiB of an answer, of which the status is enough', async () => {
    let sent = 0;
    let isClosed = false;
    const origin = await serve((_, res) => {
      res.on('close', () => {
        isClosed = true;
      });
      const chunk = Buffer.alloc(16 * 1024);
      const more = (): void => {
        while (!isClosed && sent < 512 << 20) {
          sent += chunk.length;
          if (!res.write(chunk)) {
            res.once('drain', more);
            return;
          }
        }
      };
      more();
    });
    expect(await ask(endpointAt(origin))).toBe(true);
    await eventually('the connection is closed', () => isClosed);
    expect(sent).toBeLessThan(64 << 20);
  });
});
