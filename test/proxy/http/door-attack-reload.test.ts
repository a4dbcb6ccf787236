import type { Socket } from 'node:net';
import { expect, test } from 'vitest';
import { readFacts } from '../../../proxy/http/json-body.ts';
import { prefixKeyOf } from '../../../proxy/http/prefix-key.ts';
import type { Pool } from '../../../proxy/pool.ts';
import { eventually } from '../../support/eventually.ts';
import { backend, chat, openDoor, pool, rawServer } from './door.ts';

const CHAT = '/v1/chat/completions';
const OK = 'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}';

test('a kept connection that dies just as its pool is edited costs no call', async () => {
  let kept: Socket | undefined;
  let calls = 0;
  const server = await rawServer('a', (socket) => {
    socket.on('data', () => {
      calls += 1;
      // The second call comes on the kept connection and waits there.
      if (calls === 2) kept = socket;
      else socket.write(OK);
    });
  });
  const door = await openDoor();
  const edited = (connectMs: number): Record<string, unknown> =>
    pool('chat', [backend(server)], { retry: { attempts: 1 }, timeouts: { connectMs } });
  await door.put(edited(1_000));
  expect((await door.post(CHAT, chat())).status).toBe(200);
  const second = door.post(CHAT, chat());
  await eventually('the call is on the kept connection', () => kept !== undefined);
  await door.put(edited(2_000));
  kept?.destroy();
  expect((await second).status).toBe(200);
  expect(server.connections()).toBe(2);
});

test('a name that shares a prefix is read no further than names go', () => {
  const key = (user: string): number | undefined => {
    const body = Buffer.from(JSON.stringify({ model: 'm', user }));
    return prefixKeyOf(body, readFacts(body), { prefixHash: { prefixBytes: 256 } } as Pool);
  };
  expect(key('ann')).not.toBe(key('bob'));
  expect(key(`${'x'.repeat(1_000)}a`)).not.toBe(key(`${'x'.repeat(1_000)}b`));
  expect(key('x'.repeat(2_000))).toBe(key(`${'x'.repeat(2_000)}b`));
});
