import { describe, expect, test } from 'vitest';
import { backend, chat, type Door, fakes, openDoor, pool } from './door.ts';
import { movableClock } from './door-clock.ts';

const CHAT = '/v1/chat/completions';
const AFFINITY = { affinity: { header: 'X-Session-Id' } };

interface Served {
  readonly by: string | null;
  readonly moved: string | null;
}

async function ask(door: Door, session: string): Promise<Served> {
  const response = await door.post(CHAT, chat(), { headers: { 'x-session-id': session } });
  expect(response.status).toBe(200);
  await response.text();
  return { by: response.headers.get('x-sluice-backend'), moved: response.headers.get('x-sluice-affinity') };
}

const sessions = Array.from({ length: 30 }, (_, n) => `conversation-${n}`);

async function homes(door: Door): Promise<(string | null)[]> {
  const found: (string | null)[] = [];
  for (const session of sessions) found.push((await ask(door, session)).by);
  return found;
}

function countOf<T>(values: readonly T[], value: T): number {
  return values.filter((one) => one === value).length;
}

describe('affinity', () => {
  test.each(['Weighted', 'RoundRobin', 'LeastRequest', 'PrefixHash'])(
    'keeps each conversation on its endpoint, spreads them over all, and two proxies agree, with %s',
    async (strategy) => {
      const [a, b, c] = await fakes('a', 'b', 'c');
      const document = pool('chat', [backend(a), backend(b), backend(c)], { strategy, ...AFFINITY });
      const doors = [await openDoor(), await openDoor()];
      for (const door of doors) await door.put(document);
      const [first, other] = doors as [Door, Door];
      const found = await homes(first);
      for (const name of ['a', 'b', 'c']) expect(countOf(found, name)).toBeGreaterThan(3);
      expect(await homes(first)).toEqual(found);
      expect(await homes(other)).toEqual(found);
    },
  );

  test('says when a conversation has moved, once: its endpoint rests, and when it is back the conversation is too', async () => {
    const clock = movableClock();
    const [a, b] = await fakes('a', 'b');
    const door = await openDoor();
    await door.put(pool('chat', [backend(a), backend(b)], AFFINITY));
    const session = sessions[(await homes(door)).indexOf('a')] as string;
    expect(await ask(door, session)).toEqual({ by: 'a', moved: null });
    a.behave({ status: 429, retryAfter: '20' });
    expect(await ask(door, session)).toEqual({ by: 'b', moved: 'moved' });
    expect(await ask(door, session)).toEqual({ by: 'b', moved: null });
    a.behave();
    clock.forward(20_000);
    expect(await ask(door, session)).toEqual({ by: 'a', moved: 'moved' });
    expect(await ask(door, session)).toEqual({ by: 'a', moved: null });
  });

  test('moves no conversation but those of an endpoint that goes, and those that one which comes wins', async () => {
    const [a, b, c] = await fakes('a', 'b', 'c');
    const door = await openDoor();
    await door.put(pool('chat', [backend(a), backend(b)], AFFINITY));
    const before = await homes(door);
    await door.put(pool('chat', [backend(a), backend(b), backend(c)], AFFINITY));
    const during = await homes(door);
    for (const [index, home] of during.entries()) if (home !== 'c') expect(home).toBe(before[index]);
    expect(countOf(during, 'c')).toBeGreaterThan(3);
    await door.put(pool('chat', [backend(a), backend(b)], AFFINITY));
    expect(await homes(door)).toEqual(before);
    await door.put(pool('chat', [backend(b)], AFFINITY));
    expect(countOf(await homes(door), 'b')).toBe(sessions.length);
  });

  test('gives a call without the header to whoever is next', async () => {
    const [a, b] = await fakes('a', 'b');
    const door = await openDoor();
    await door.put(pool('chat', [backend(a), backend(b)], AFFINITY));
    for (let n = 0; n < 10; n += 1) {
      const response = await door.post(CHAT, chat());
      await response.text();
      expect(response.headers.get('x-sluice-affinity')).toBeNull();
    }
    expect([a.calls.length, b.calls.length]).toEqual([5, 5]);
  });
});

describe('PrefixHash', () => {
  const beginning = 'You are a helpful assistant. '.repeat(12);
  const said = (content: string, more: object = {}): object => ({
    ...{ model: 'chat', messages: [{ role: 'user', content }] },
    ...more,
  });

  async function byOf(door: Door, body: object): Promise<string | null> {
    const response = await door.post(CHAT, body);
    expect(response.status).toBe(200);
    await response.text();
    return response.headers.get('x-sluice-backend');
  }

  test.each<[string, (which: number, call: number) => object]>([
    ['prompt_cache_key', (which, call) => said(`Hi ${call}`, { prompt_cache_key: `key-${which}`, user: `u${call}` })],
    ['user, where there is no prompt_cache_key', (which, call) => said(`Hi ${call}`, { user: `user-${which}` })],
    ['the beginning of their prompt, where there is neither', (which, call) => said(`${which} ${beginning}${call}`)],
  ])('sends calls that share %s to one endpoint, others elsewhere, and two proxies agree', async (_, bodyOf) => {
    const [a, b, c] = await fakes('a', 'b', 'c');
    const doors = [await openDoor(), await openDoor()];
    for (const door of doors)
      await door.put(pool('chat', [backend(a), backend(b), backend(c)], { strategy: 'PrefixHash' }));
    const all: (string | null)[] = [];
    for (let which = 0; which < 30; which += 1) {
      const seen = new Set<string | null>();
      for (let call = 0; call < 4; call += 1) seen.add(await byOf(doors[call % 2] as Door, bodyOf(which, call)));
      expect(seen.size).toBe(1);
      all.push(...seen);
    }
    for (const name of ['a', 'b', 'c']) expect(countOf(all, name)).toBeGreaterThan(2);
  });

  test('does not let one prefix fill one endpoint: what is beyond its part goes to others', async () => {
    const [a, b, c] = await fakes('a', 'b', 'c');
    for (const server of [a, b, c]) server.behave({ delayMs: 300 });
    const door = await openDoor();
    await door.put(pool('chat', [backend(a), backend(b), backend(c)], { strategy: 'PrefixHash' }));
    const by = await Promise.all(Array.from({ length: 24 }, () => byOf(door, said('Hi', { user: 'one' }))));
    // A third of what is in flight is 8, and a quarter more is let through.
    for (const name of ['a', 'b', 'c']) {
      expect(countOf(by, name)).toBeLessThanOrEqual(10);
      expect(countOf(by, name)).toBeGreaterThanOrEqual(4);
    }
  });
});
