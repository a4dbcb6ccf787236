import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { backend, type Door, fakes, openDoor, pool, type RawClient, rawClient, rawServer } from './door.ts';
import { seriesOf } from './door-series.ts';

const PATH = '/v1/audio/transcriptions';
const PART = '--B\r\ncontent-disposition: form-data; name=';
const MODEL = `${PART}"model"\r\n\r\nwhisper\r\n`;
const FILE = `${PART}"file"; filename="a"\r\n\r\n`;
const NEXT = `${PART}"n"\r\n\r\n`;
const END = '\r\n--B--\r\n';

/** Sends the head of an upload of so many bytes. */
async function begin(door: Door, length: number): Promise<RawClient> {
  const client = await rawClient(door.port);
  const type = 'multipart/form-data; boundary=B';
  client.send(`POST ${PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: ${type}\r\ncontent-length: ${length}\r\n\r\n`);
  return client;
}

function arrayBufferMegabytes(): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
  return process.memoryUsage().arrayBuffers / 2 ** 20;
}

describe('an upload', () => {
  test('that its client is slow with is not the server’s fault: its first byte is due once all has come', async () => {
    const [a, b] = await fakes('a', 'b');
    const door = await openDoor();
    await door.put(pool('whisper', [backend(a), backend(b)], { timeouts: { firstByteMs: 300 } }));
    const slow = 'x'.repeat(8);
    const client = await begin(door, MODEL.length + FILE.length + slow.length + END.length);
    client.send(MODEL + FILE);
    for (const byte of slow) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      client.send(byte);
    }
    client.send(END);
    expect(await client.until(/HTTP\/1.1 \d+/)).toContain('HTTP/1.1 200');
    expect(await seriesOf(door, 'sluice_attempts_total', { outcome: 'success' })).toBe(1);
  });

  test('that has all come is given the server’s first byte in time, or it is the server’s fault', async () => {
    const server = await rawServer('a', (socket) => socket.resume());
    const door = await openDoor();
    await door.put(pool('whisper', [backend(server)], { timeouts: { firstByteMs: 300 }, retry: { attempts: 1 } }));
    const client = await begin(door, MODEL.length + FILE.length + 1 + END.length);
    client.send(`${MODEL}${FILE}x${END}`);
    const startedAt = performance.now();
    expect(await client.until(/HTTP\/1.1 \d+/)).toContain('HTTP/1.1 502');
    expect(performance.now() - startedAt).toBeLessThan(2_000);
    expect(await seriesOf(door, 'sluice_attempts_total', { outcome: 'timeout' })).toBe(1);
  });

  test('whose server takes nothing is counted as held as long as it is', async () => {
    const server = await rawServer('a', (socket) => socket.pause());
    const [b] = await fakes('b');
    const door = await openDoor({ maxHeldBytes: 30_000_000 });
    await door.put(pool('whisper', [backend(server)]), pool('chat', [backend(b)]));
    const file = 'x'.repeat(25_000_000);
    const client = await begin(door, FILE.length + file.length + 2 + MODEL.length + NEXT.length + END.length);
    client.send(`${FILE}${file}\r\n${MODEL}${NEXT}`);
    await eventually('the server is called', () => server.connections() === 1);
    const other = await door.post('/v1/chat/completions', { model: 'chat', user: 'u'.repeat(20_000_000) });
    expect(other.status).toBe(503);
    client.socket.destroy();
    await expect
      .poll(
        async () => (await door.post('/v1/chat/completions', { model: 'chat', user: 'u'.repeat(20_000_000) })).status,
      )
      .toBe(200);
  });

  test('that is on its way keeps nothing of what was held for it', async () => {
    let read = 0;
    const server = await rawServer('a', (socket) => {
      socket.on('data', (bytes) => {
        read += bytes.length;
      });
    });
    const door = await openDoor();
    await door.put(pool('whisper', [backend(server)]));
    const file = Buffer.alloc(20_000_000, 'x');
    const client = await begin(door, FILE.length + file.length + 2 + MODEL.length + NEXT.length + END.length);
    const before = arrayBufferMegabytes();
    client.send(FILE);
    client.send(file);
    client.send(`\r\n${MODEL}${NEXT}`);
    await eventually('the server has all that came', () => read > file.length);
    expect(arrayBufferMegabytes() - before).toBeLessThan(8);
    // It is ours until here, and in both numbers.
    expect(file).toHaveLength(20_000_000);
  });
});
