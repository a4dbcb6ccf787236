import { describe, expect, test } from 'vitest';
import { chat, errorOf, fakes, openDoor, pool } from './door.ts';

const CHAT = '/v1/chat/completions';

interface Report {
  readonly state: string;
  readonly message: string;
}

describe('a url that leads back to Sluice', () => {
  test('makes eight calls of one, not thousands, and says why', async () => {
    const door = await openDoor();
    await door.put(pool('chat', [{ name: 'self', url: `${door.url}/v1` }]));
    const error = await errorOf(await door.post(CHAT, chat()));
    expect(error).toMatchObject({ status: 400, code: 'bad_request' });
    expect(error.message).toContain('leads back to Sluice');
    await expect.poll(() => door.log.filter((line) => line.includes('"msg":"request"')).length).toBe(9);
    expect(await door.pool()).toMatchObject({ inFlight: 0 });
  });

  test('does so over several pools and proxies too, whatever a pool or a client says of the count', async () => {
    const one = await openDoor();
    const two = await openDoor();
    await one.put(pool('chat', [{ name: 'two', url: `${two.url}/v1` }]));
    await two.put(pool('chat', [{ name: 'one', url: `${one.url}/v1`, headers: [{ name: 'x-a', value: 'b' }] }]));
    const headers = { 'x-sluice-hops': '0', connection: 'x-sluice-hops' };
    expect(await errorOf(await one.post(CHAT, chat(), { headers }))).toMatchObject({ status: 400 });
  });

  test('cannot set the count back', async () => {
    const door = await openDoor();
    await door.put(
      pool('chat', [{ name: 'self', url: `${door.url}/v1`, headers: [{ name: 'X-Sluice-Hops', value: '0' }] }]),
    );
    const { documents } = (await (await fetch(`${door.adminUrl}/config`)).json()) as { documents: Report[] };
    expect(documents).toMatchObject([{ state: 'rejected' }]);
    expect(documents[0]?.message).toContain('x-sluice-hops is for Sluice itself to set');
  });

  test('reaches no admin door', async () => {
    const door = await openDoor();
    await door.put(pool('chat', [{ name: 'admin', url: door.adminUrl }]));
    for (const path of ['metrics', 'pools', 'pools/ml/chat', 'config', 'explain', 'readyz']) {
      const response = await door.get(`/v1/${path}?model=chat`);
      expect([path, response.status]).toEqual([path, 502]);
      expect(await response.text()).not.toMatch(/sluice_|revision|endpoints/);
    }
  });
});

test('a proxy that calls another is served', async () => {
  const [a] = await fakes('a');
  const central = await openDoor();
  await central.put(pool('chat', [{ name: 'a', url: `${a.url}/v1` }]));
  const sidecar = await openDoor();
  await sidecar.put(pool('chat', [{ name: 'central', url: `${central.url}/v1` }]));
  expect((await sidecar.post(CHAT, chat())).status).toBe(200);
  expect(a.calls[0]?.headers['x-sluice-hops']).toBe('2');
});

test.each(['9', '08', 'x', '-1', '1e1', '8, 0', ''])(
  'a client that says %j has passed so many is served or refused, no more',
  async (hops) => {
    const [a] = await fakes('a');
    const door = await openDoor();
    await door.put(pool('chat', [{ name: 'a', url: `${a.url}/v1` }]));
    expect((await door.post(CHAT, chat(), { headers: { 'x-sluice-hops': hops } })).status).toBe(400);
    expect(a.calls).toHaveLength(0);
  },
);
