import { createServer, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { awaitReader } from '../../../proxy/http/stalled-reader.ts';
import { eventually } from '../../support/eventually.ts';

const STALLED_MS = 200;
const BIG = Buffer.alloc(30_000_000, 'x');

/** The connection to a server that answers each request so, and what that server's side of it is like. */
async function asked(answer: (res: ServerResponse) => void): Promise<{ client: Socket; closed: () => boolean }> {
  let isClosed = false;
  const server = createServer((_, res) => {
    res.socket?.once('close', () => {
      isClosed = true;
    });
    answer(res);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  client.on('error', () => undefined);
  onTestFinished(() => {
    client.destroy();
    server.closeAllConnections();
    server.close();
  });
  client.pause();
  client.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n');
  return { client, closed: () => isClosed };
}

describe('a client that does not take the last of its answer', () => {
  test('is let go', async () => {
    const { closed } = await asked((res) => {
      res.end(BIG);
      awaitReader(res, STALLED_MS);
    });
    await eventually('its connection is closed', closed, { timeoutMs: 5_000 });
  });

  test('is let go also where its answer was cut', async () => {
    const { closed } = await asked((res) => {
      res.write(BIG);
      res.socket?.destroySoon();
      awaitReader(res, STALLED_MS);
    });
    await eventually('its connection is closed', closed, { timeoutMs: 5_000 });
  });

  test('is not let go while it takes some, however long that lasts', async () => {
    const { client, closed } = await asked((res) => {
      res.end(BIG);
      awaitReader(res, STALLED_MS);
    });
    let bytes = 0;
    client.on('data', (chunk) => {
      bytes += chunk.length;
      client.pause();
      setTimeout(() => client.resume(), 5);
    });
    client.resume();
    await eventually('it has all', () => bytes > BIG.length, { timeoutMs: 20_000 });
    expect(closed()).toBe(false);
  });

  test('that took it has the connection for as long as before', async () => {
    let served = 0;
    const { client, closed } = await asked((res) => {
      served += 1;
      if (served === 1) {
        res.end(BIG);
        awaitReader(res, STALLED_MS);
      } else setTimeout(() => res.end('late'), 3 * STALLED_MS);
    });
    let last = '';
    client.on('data', (chunk) => {
      last = chunk.toString('latin1').slice(-100);
    });
    client.resume();
    client.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n');
    await eventually('the second answer is there', () => last.endsWith('late'), { timeoutMs: 10_000 });
    expect(closed()).toBe(false);
  });
});
