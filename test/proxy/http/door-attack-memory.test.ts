import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { backend, chat, fakes, httpPost, openDoor, pool, rawClient, rawServer } from './door.ts';

const CHAT = '/v1/chat/completions';
const COUNT = 150_000;
/** Byte by byte they were 17 to 34. */
const MOST_MEGABYTES = 5;

/** What V8 keeps after a collection of all that nobody refers to. */
function heapMegabytes(): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
  return process.memoryUsage().heapUsed / 2 ** 20;
}

function inChunksOfOne(text: string): string {
  let chunks = '';
  for (const character of text) chunks += `1\r\n${character}\r\n`;
  return chunks;
}

describe('bytes that come one by one', () => {
  test('of a request take about the memory that they are', async () => {
    const [a] = await fakes('a');
    const body = `{"model":"chat","user":"${'a'.repeat(COUNT)}"}`;
    const door = await openDoor({ maxHeldBytes: body.length });
    await door.put(pool('chat', [backend(a)]));
    const client = await rawClient(door.port);
    const before = heapMegabytes();
    client.send(`POST ${CHAT} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n${inChunksOfOne(body)}`);
    await eventually('all of them are held', async () => (await door.post(CHAT, chat())).status === 503);
    expect(heapMegabytes() - before).toBeLessThan(MOST_MEGABYTES);
    client.send('0\r\n\r\n');
    await client.until('HTTP/1.1 200');
    expect(a.calls.some((call) => call.body.toString() === body)).toBe(true);
  });

  test.each([
    ['a unary answer', 'application/json', '"'],
    ['a failure', 'text/plain', '!', '500 No'],
    ['an event stream without a line end', 'text/event-stream', 'data: '],
  ])('of %s take about the memory that they are', async (_, type, begin, status = '200 OK') => {
    let isLetGo = false;
    const server = await rawServer('a', (socket) => {
      socket.once('data', () => {
        socket.write(`HTTP/1.1 ${status}\r\ncontent-type: ${type}\r\ntransfer-encoding: chunked\r\n\r\n`);
        socket.write(inChunksOfOne(begin + 'a'.repeat(COUNT)));
      });
      socket.once('close', () => {
        isLetGo = true;
      });
    });
    const door = await openDoor();
    await door.put(pool('chat', [backend(server)], { retry: { attempts: 1 }, timeouts: { idleMs: 500 } }));
    const before = heapMegabytes();
    const client = await rawClient(door.port);
    client.send(httpPost(CHAT, chat()));
    let most = before;
    await eventually('it is let go for its silence', () => {
      most = Math.max(most, heapMegabytes());
      return isLetGo;
    });
    expect(most - before).toBeLessThan(MOST_MEGABYTES);
    await client.until('HTTP/1.1 502');
  });
});
