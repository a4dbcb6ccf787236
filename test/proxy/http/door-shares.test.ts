import { describe, expect, test } from 'vitest';
import { PROXY_ID_HEADER } from '../../../proxy/config/schema.ts';
import { backend, chat, type Door, fakes, openDoor, pool } from './door.ts';

const CHAT = '/v1/chat/completions';

async function idOf(door: Door): Promise<string> {
  const response = await fetch(`${door.adminUrl}/config`);
  await response.text();
  return response.headers.get(PROXY_ID_HEADER) ?? '';
}

/** Two proxies that know of each other, with this pool. */
async function twoDoors(document: Record<string, unknown>): Promise<Door[]> {
  const doors = [await openDoor(), await openDoor()];
  const ids = (await Promise.all(doors.map(idOf))).sort();
  for (const door of doors) await door.put(document, { format: 1, kind: 'Proxies', ids });
  return doors;
}

async function statusesOf(calls: readonly Promise<Response>[]): Promise<number[]> {
  return Promise.all(
    calls.map(async (call) => {
      const response = await call;
      await response.text();
      return response.status;
    }),
  );
}

describe('two proxies', () => {
  test.each([1, 2, 7, 10])(
    'let in exactly %i requests a minute together, whole shares of at least one',
    async (limit) => {
      const [a] = await fakes('a');
      const doors = await twoDoors(pool('chat', [backend(a)], { limits: { pool: { requestsPerMinute: limit } } }));
      const calls = doors.flatMap((door) => Array.from({ length: 15 }, () => door.post(CHAT, chat())));
      const statuses = await statusesOf(calls);
      expect(statuses.filter((status) => status === 200)).toHaveLength(Math.max(2, limit));
      expect(statuses.filter((status) => status === 429)).toHaveLength(30 - Math.max(2, limit));
    },
  );

  test('each tell of their own share', async () => {
    const [a] = await fakes('a');
    const doors = await twoDoors(pool('chat', [backend(a)], { limits: { pool: { requestsPerMinute: 7 } } }));
    const told: (string | null)[] = [];
    for (const door of doors) {
      const response = await door.post(CHAT, chat());
      await response.text();
      told.push(response.headers.get('x-ratelimit-limit-requests'));
    }
    expect(told.sort()).toEqual(['3', '4']);
  });

  test.each([
    ['the pool', (limit: number) => [{}, { maxConcurrent: limit }] as const],
    ['an endpoint', (limit: number) => [{ maxConcurrent: limit }, {}] as const],
  ])('have no more calls than maxConcurrent of %s under way together', async (_, rules) => {
    const [a] = await fakes('a');
    a.behave({ delayMs: 30 });
    const [ofBackend, ofPool] = rules(5);
    const doors = await twoDoors(pool('chat', [backend(a, ofBackend)], ofPool));
    let most = 0;
    const watch = setInterval(() => {
      most = Math.max(most, a.open());
    }, 1);
    const statuses = await statusesOf(
      doors.flatMap((door) => Array.from({ length: 20 }, () => door.post(CHAT, chat()))),
    );
    clearInterval(watch);
    expect(statuses).toEqual(Array(40).fill(200));
    expect(most).toBe(5);
  });

  test('of which one goes leave all of the limit to the other', async () => {
    const [a] = await fakes('a');
    const [one, other] = await twoDoors(pool('chat', [backend(a)], { limits: { pool: { requestsPerMinute: 10 } } }));
    if (one === undefined || other === undefined) throw new Error('unreachable');
    await other.drain();
    await one.put({ format: 1, kind: 'Proxies', ids: [await idOf(one)] });
    const statuses = await statusesOf(Array.from({ length: 20 }, () => one.post(CHAT, chat())));
    expect(statuses.filter((status) => status === 200)).toHaveLength(10);
  });
});
