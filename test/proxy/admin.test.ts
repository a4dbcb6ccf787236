import { describe, expect, test } from 'vitest';
import { type ConfigReport, ProxyId } from '../../proxy/config/schema.ts';
import { eventually } from '../support/eventually.ts';
import { backend, chat, fakes, instance, openDoor, pool, rawClient } from './http/door.ts';

describe('the admin door', () => {
  test('is live from the start, ready once a whole read is served, and not while it drains', async () => {
    const [a] = await fakes('a');
    a.behave({ delayMs: 1_000 });
    const door = await openDoor({ drainTimeoutMs: 10_000 });
    await expect.poll(async () => (await fetch(`${door.adminUrl}/readyz`)).status).toBe(200);
    expect((await fetch(`${door.adminUrl}/livez`)).status).toBe(200);
    expect(await (await fetch(`${door.adminUrl}/health`)).json()).toEqual({ status: 'healthy' });
    await door.put(pool('chat', [backend(a)]));
    const call = door.post('/v1/chat/completions', chat());
    await expect.poll(() => a.calls.length).toBe(1);
    const drained = door.drain();
    const ready = await fetch(`${door.adminUrl}/readyz`);
    expect([ready.status, await ready.json()]).toEqual([503, { status: 'unavailable', reason: 'draining' }]);
    expect((await fetch(`${door.adminUrl}/livez`)).status).toBe(200);
    expect((await call).status).toBe(200);
    await drained;
  });

  test('is not ready before anything was read whole', async () => {
    const door = await openDoor({}, { settled: false });
    const ready = await fetch(`${door.adminUrl}/readyz`);
    expect([ready.status, await ready.json()]).toMatchObject([503, { status: 'unavailable' }]);
    expect(await (await fetch(`${door.adminUrl}/health`)).json()).toEqual({ status: 'unhealthy' });
    expect(await (await fetch(`${door.adminUrl}/config`)).json()).toEqual({ source: null, documents: [] });
  });

  test('/pools shows each pool as the request path sees it', async () => {
    const [a, b] = await fakes('a', 'b');
    const door = await openDoor();
    const of = { kind: 'LLMPool', namespace: 'ml', name: 'chat' };
    const entry = (port: number, ready: boolean): object => ({ backend: 'pods', address: '127.0.0.1', port, ready });
    await door.put(
      pool('chat', [backend(a, { weight: 3 }), { name: 'pods', weight: 1, path: '/v1' }, backend(b, { tier: 1 })]),
      pool('other', []),
      instance('bge', a),
      { format: 1, kind: 'Endpoints', of, piece: 0, endpoints: [entry(1, true), entry(2, true), entry(3, false)] },
    );
    const list = (await (await fetch(`${door.adminUrl}/pools`)).json()) as { name: string }[];
    expect(list.map(({ name }) => name)).toEqual(['chat', 'other']);
    const shown = await (await fetch(`${door.adminUrl}/pools/ml/chat`)).json();
    const ready = { state: 'ready', reason: '', inFlight: 0, cooldownSeconds: 0 };
    expect(shown).toEqual({
      ...{ namespace: 'ml', name: 'chat', models: ['chat'], revision: expect.stringMatching(/^[0-9a-f]{64}$/) },
      ...{ queue: { depth: 0 }, inFlight: 0 },
      endpoints: [
        { backend: 'a', address: `127.0.0.1:${a.port}`, tier: 0, weight: 3, share: 0.75, ...ready },
        { backend: 'pods', address: '127.0.0.1:1', tier: 0, weight: 1, share: 0.125, ...ready },
        { backend: 'pods', address: '127.0.0.1:2', tier: 0, weight: 1, share: 0.125, ...ready },
        {
          backend: 'pods',
          address: '127.0.0.1:3',
          tier: 0,
          weight: 1,
          share: 0,
          ...ready,
          state: 'unhealthy',
          reason: 'not ready',
        },
        { backend: 'b', address: `127.0.0.1:${b.port}`, tier: 1, weight: 1, share: 1, ...ready },
      ],
    });
  });

  test('/health, /instances and /instances/{name} show what runs', async () => {
    const [a] = await fakes('a');
    const door = await openDoor();
    await door.put(instance('one', a, { model: 'BAAI/bge' }), instance('two', { name: 'x' }), pool('chat', []));
    const running = { name: 'one', model: 'BAAI/bge', protocol: 'HTTP', status: 'running', endpoints: 1 };
    const empty = { name: 'two', model: null, protocol: 'HTTP', status: 'unavailable', endpoints: 0 };
    expect(await (await fetch(`${door.adminUrl}/instances`)).json()).toEqual([running, empty]);
    expect(await (await fetch(`${door.adminUrl}/instances/one`)).json()).toEqual(running);
    expect(await (await fetch(`${door.adminUrl}/instances/ml%2Fone`)).json()).toEqual(running);
  });

  test.each(['/pools/ml/none', '/pools/ml/bge', '/pools/ml', '/instances/none', '/instances/chat', '/', '/v1/models'])(
    '%s is 404, in words',
    async (path) => {
      const door = await openDoor();
      await door.put(instance('bge', { name: 'x' }), pool('chat', []));
      const response = await fetch(door.adminUrl + path);
      expect(response.status).toBe(404);
      expect(JSON.stringify(await response.json())).toMatch(/There is no|not found/);
    },
  );

  test('/config lists every document with its state, and why one was refused', async () => {
    const [a] = await fakes('a');
    const door = await openDoor();
    const bad = pool('bad', [{ name: 'x', url: 'http://169.254.169.254/' }]);
    await door.put(pool('chat', [backend(a)]), bad);
    const shown = await (await fetch(`${door.adminUrl}/config`)).json();
    const revision = expect.stringMatching(/^[0-9a-f]{64}$/);
    expect(shown).toEqual({
      source: 'folder',
      documents: [
        {
          kind: 'LLMPool',
          namespace: 'ml',
          name: 'bad',
          revision,
          state: 'rejected',
          message: expect.stringContaining('backend x'),
        },
        { kind: 'LLMPool', namespace: 'ml', name: 'chat', revision, state: 'loaded', message: '' },
      ],
    });
  });

  test('/config?watch=true gives what there is, then what comes, with heartbeats between', async () => {
    const [a] = await fakes('a');
    const door = await openDoor({ times: { heartbeatMs: 50 } });
    const document = pool('chat', [backend(a)]);
    await door.put(document);
    const response = await fetch(`${door.adminUrl}/config?watch=true`);
    expect(response.headers.get('content-type')).toMatch(/ndjson/);
    let text = '';
    void (async () => {
      for await (const chunk of response.body ?? []) text += Buffer.from(chunk).toString();
    })().catch(() => undefined);
    const lines = (): ConfigReport[] =>
      text.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line) as ConfigReport]));
    await eventually('what there is', () => lines().length === 1 && text.endsWith('\n\n'));
    expect(lines()[0]).toMatchObject({ name: 'chat', state: 'loaded' });
    await door.put(pool('bad', [{ name: 'x', url: 'http://169.254.169.254/' }]));
    await door.remove(document);
    await eventually('what comes', () => lines().length === 3);
    expect(lines().slice(1)).toMatchObject([
      { name: 'bad', state: 'rejected' },
      { name: 'chat', state: 'removed' },
    ]);
    const before = text.length;
    await eventually('a heartbeat', () => text.length > before && text.slice(before).trim() === '');
    await response.body?.cancel().catch(() => undefined);
  });

  test('each answer of /config says what the proxy calls itself, which is another name at each start', async () => {
    const names = new Set<string | null>();
    for (const door of [await openDoor(), await openDoor()]) {
      const before = names.size;
      for (const path of ['/config', '/config?watch=true']) {
        const response = await fetch(door.adminUrl + path);
        names.add(response.headers.get('x-sluice-proxy'));
        await response.body?.cancel();
      }
      expect(names.size).toBe(before + 1);
    }
    for (const name of names) expect(ProxyId.safeParse(name).success).toBe(true);
  });

  test('listeners of /config, gone or still there, do not hold up the end', async () => {
    const door = await openDoor();
    for (let n = 0; n < 20; n += 1) {
      const client = await rawClient(Number(new URL(door.adminUrl).port));
      client.send('GET /config?watch=true HTTP/1.1\r\nhost: x\r\n\r\n');
      await client.until('\r\n\r\n');
      if (n < 19) client.socket.destroy();
    }
    const before = performance.now();
    await door.drain();
    expect(performance.now() - before).toBeLessThan(2_000);
  });

  test('tells nothing of a Secret anywhere', async () => {
    const [a] = await fakes('a');
    const door = await openDoor();
    const of = { kind: 'LLMPool', namespace: 'ml', name: 'chat' };
    const headers = [{ name: 'authorization', prefix: 'Bearer ', valueFrom: { secret: 's', key: 'k' } }];
    await door.put(pool('chat', [backend(a, { headers })], { credentials: { id: 'c' } }), {
      ...{ format: 1, kind: 'Credentials', of, id: 'c', values: { 's/k': 'top-secret' } },
    });
    expect((await door.post('/v1/chat/completions', chat())).status).toBe(200);
    expect(a.calls[0]?.headers.authorization).toBe('Bearer top-secret');
    for (const path of ['/metrics', '/pools', '/pools/ml/chat', '/instances', '/config', '/health']) {
      expect(await (await fetch(door.adminUrl + path)).text()).not.toContain('top-secret');
    }
    expect(door.log.join('\n')).not.toContain('top-secret');
  });
});
