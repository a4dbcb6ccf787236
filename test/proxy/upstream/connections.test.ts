import type { LookupAddress } from 'node:dns';
import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createUpstreamRules } from '../../../proxy/config/upstream-address.ts';
import { type ConnectionSettings, type Connections, createConnections } from '../../../proxy/upstream/connections.ts';
import { guardedLookup } from '../../../proxy/upstream/guarded-lookup.ts';
import { outcomeOfError } from '../../../proxy/upstream/outcome.ts';
import { selfSigned } from '../../support/certificate.ts';
import { startFakeLlm } from '../../support/fake-llm.ts';
import { fakes, openDoor, pool } from '../http/door.ts';

const anyAddress = createUpstreamRules({ allow: [], allowLoopback: true, apiServer: [] });
const noLoopback = createUpstreamRules({ allow: [], allowLoopback: false, apiServer: [] });

/** A resolver to which every name is 127.0.0.1. */
const toLoopback = ((_: string, __: object, callback: (error: null, addresses: LookupAddress[]) => void) =>
  callback(null, [{ address: '127.0.0.1', family: 4 }])) as never;

function connections(settings: Partial<ConnectionSettings> & { origin: string }): Connections {
  const made = createConnections({ connectMs: 2_000, lookup: guardedLookup(anyAddress, toLoopback), ...settings });
  onTestFinished(made.close);
  return made;
}

/** The status of a GET on a connection that is given back after it, or the error in its place. */
function ask(of: Connections, connection = of.take()): Promise<number | Error> {
  return new Promise((resolve) => {
    let status = 0;
    const end = (answer: number | Error): void => {
      of.give(connection);
      resolve(answer);
    };
    connection.client.dispatch(
      { method: 'GET', path: '/', headers: [] },
      {
        onRequestStart: () => undefined,
        onResponseStart: (_, code) => {
          status = code;
        },
        onResponseData: () => undefined,
        onResponseEnd: () => end(status),
        onResponseError: (_, error) => end(error),
      },
    );
  });
}

const outcome = (answer: number | Error): string => (answer instanceof Error ? outcomeOfError(answer) : String(answer));

describe('connections to an endpoint', () => {
  test('are not made to a name that has come to mean loopback', async () => {
    const [a] = await fakes('a');
    const origin = `http://some.name:${a.port}`;
    expect(await ask(connections({ origin }))).toBe(200);
    const before = a.connections();
    const guarded = connections({ origin, lookup: guardedLookup(noLoopback, toLoopback) });
    const refused = await ask(guarded);
    expect(refused).toBeInstanceOf(Error);
    expect((refused as Error).message).toMatch(/some\.name resolves to 127\.0\.0\.1, which is a loopback address/);
    expect(outcome(refused)).toBe('connect');
    expect(a.connections()).toBe(before);
  });

  test('are kept: the one used last is used next, and a new one only where all are busy', async () => {
    const [a] = await fakes('a');
    const made = connections({ origin: a.url });
    for (let n = 0; n < 3; n += 1) expect(await ask(made)).toBe(200);
    expect(a.connections()).toBe(1);
    const [one, two] = [made.take(), made.take()];
    expect([one.isOpen, two.isOpen]).toEqual([true, false]);
    expect(await Promise.all([ask(made, one), ask(made, two)])).toEqual([200, 200]);
    expect(a.connections()).toBe(2);
    expect(await ask(made)).toBe(200);
    expect(a.connections()).toBe(2);
  });

  test('for a fresh call are not open, however many are kept', async () => {
    const [a] = await fakes('a');
    const made = connections({ origin: a.url });
    await ask(made);
    const fresh = made.takeNew();
    expect(fresh.isOpen).toBe(false);
    expect(await ask(made, fresh)).toBe(200);
    expect(a.connections()).toBe(2);
  });

  test('that the server has closed are known to be, and opened again when needed', async () => {
    const [a] = await fakes('a');
    const made = connections({ origin: a.url });
    await ask(made);
    await a.stop();
    const kept = made.take();
    await expect.poll(() => kept.isOpen).toBe(false);
    expect(outcome(await ask(made, kept))).toBe('connect');
    const again = await startFakeLlm({ name: 'a', port: a.port });
    onTestFinished(again.stop);
    expect(await ask(made)).toBe(200);
  });

  test('shrink again after a peak', async () => {
    const [a] = await fakes('a');
    a.behave({ delayMs: 50 });
    const made = connections({ origin: a.url });
    await Promise.all(Array.from({ length: 20 }, () => ask(made)));
    expect(a.connections()).toBe(20);
    a.behave();
    await expect
      .poll(
        async () => {
          await ask(made);
          return a.connections();
        },
        { timeout: 15_000, interval: 100 },
      )
      .toBe(1);
  });

  test('that are closed let the calls under way end', async () => {
    const [a] = await fakes('a');
    a.behave({ delayMs: 200 });
    const made = connections({ origin: a.url });
    await ask(made);
    const call = ask(made);
    await expect.poll(() => a.calls.length).toBe(2);
    made.close();
    expect(await call).toBe(200);
    await expect.poll(() => a.connections()).toBe(0);
  });
});

describe('TLS to an endpoint', () => {
  const server = selfSigned('llm.internal');
  const client = selfSigned('client');
  const other = selfSigned('other');

  async function start(): Promise<{ url: string; clients: string[]; names: unknown[] }> {
    const clients: string[] = [];
    const names: unknown[] = [];
    const https = createServer(
      { ...server, requestCert: true, ca: client.cert, rejectUnauthorized: false },
      (req, res) => {
        const socket = req.socket as TLSSocket;
        clients.push(socket.authorized ? String(socket.getPeerCertificate().subject.CN) : 'nobody');
        names.push((socket as TLSSocket & { servername: unknown }).servername);
        res.setHeader('content-type', 'application/json');
        res.end('{}');
      },
    );
    https.listen(0, '127.0.0.1');
    await once(https, 'listening');
    onTestFinished(() => {
      https.closeAllConnections();
      https.close();
    });
    return { url: `https://127.0.0.1:${(https.address() as AddressInfo).port}`, clients, names };
  }

  test('trusts the CA that is configured and no other, and is a connect failure else', async () => {
    const { url } = await start();
    expect(await ask(connections({ origin: url, ca: server.cert }))).toBe(200);
    expect(outcome(await ask(connections({ origin: url, ca: other.cert })))).toBe('connect');
    expect(outcome(await ask(connections({ origin: url })))).toBe('connect');
  });

  test('checks the certificate against serverName, and asks for it', async () => {
    const { url, names } = await start();
    const ca = server.cert;
    expect(await ask(connections({ origin: url, ca, serverName: 'llm.internal' }))).toBe(200);
    expect(names).toEqual(['llm.internal']);
    expect(outcome(await ask(connections({ origin: url, ca, serverName: 'else.internal' })))).toBe('connect');
  });

  test('shows the client certificate of the pool’s document, which is replaced with its credentials', async () => {
    const { url, clients } = await start();
    const door = await openDoor();
    const secret = (key: string): object => ({ secret: 'tls', key });
    const tls = { ca: secret('ca'), cert: secret('crt'), key: secret('key'), serverName: 'llm.internal' };
    const of = { kind: 'LLMPool', namespace: 'ml', name: 'chat' };
    const put = (id: string, pair: { cert: string; key: string }): Promise<void> =>
      door.put(pool('chat', [{ name: 'a', url, tls }], { credentials: { id } }), {
        ...{ format: 1, kind: 'Credentials', of, id },
        values: { 'tls/ca': server.cert, 'tls/crt': pair.cert, 'tls/key': pair.key },
      });
    await put('one', client);
    expect((await door.post('/v1/chat/completions', { model: 'chat' })).status).toBe(200);
    await put('two', other);
    expect((await door.post('/v1/chat/completions', { model: 'chat' })).status).toBe(200);
    expect(clients).toEqual(['client', 'nobody']);
  });
});
