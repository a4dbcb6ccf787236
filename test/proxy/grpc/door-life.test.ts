import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { Client, credentials, Metadata } from '@grpc/grpc-js';
import { describe, expect, onTestFinished, test } from 'vitest';
import { CODES } from '../../../proxy/grpc/codes.ts';
import { frameOf } from '../../../proxy/grpc/frames.ts';
import { selfSigned } from '../../support/certificate.ts';
import { eventually } from '../../support/eventually.ts';
import { startFakeTei } from '../../support/fake-tei.ts';
import { freePort } from '../../support/ports.ts';
import { temporaryFolder } from '../../support/reaper.ts';
import { openDoor } from '../http/door.ts';
import { embed, grpcOf, named, tei, teiOf, teis } from './instances.ts';
import { startPeer } from './peers.ts';

const PEER_HEAD = { ':status': 200, 'content-type': 'application/grpc' };

describe('connections to an instance', () => {
  test('[T-10] are made with the first call, shared by all, kept over edits, and closed with the instance', async () => {
    const peer = await startPeer((stream) => {
      stream.respond(PEER_HEAD, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      stream.end(frameOf());
    });
    onTestFinished(peer.close);
    const door = await openDoor();
    await door.put(tei('a', peer.origin));
    const grpc = grpcOf(door);
    expect(peer.accepted()).toBe(0);
    const calls = Array.from({ length: 64 }, () => grpc.unary('Embed', embed(named('a'))));
    for (const { code } of await Promise.all(calls)) expect(code).toBe(CODES.OK);
    await door.put(tei('a', peer.origin, { timeouts: { requestMs: 20_000 }, model: 'BAAI/bge' }));
    expect((await grpc.unary('Embed', embed(named('a')))).code).toBe(CODES.OK);
    expect([peer.accepted(), peer.sessions.size]).toEqual([1, 1]);
    await door.remove(tei('a', peer.origin));
    await eventually('it is closed', () => peer.sessions.size === 0);
    expect((await grpc.unary('Embed', embed(named('a')))).details).toBe("Instance 'a' not found");
  });

  test('are made anew after the server restarts: calls succeed within a second', async () => {
    const port = await freePort();
    const first = await startFakeTei('first', port);
    const door = await openDoor();
    await door.put(tei('a', first.origin));
    const grpc = grpcOf(door);
    expect((await grpc.unary('Embed', embed(named('a')))).code).toBe(CODES.OK);
    await first.close();
    expect((await grpc.unary('Embed', embed(named('a')))).code).toBe(CODES.UNAVAILABLE);
    const second = await startFakeTei('second', port);
    onTestFinished(second.close);
    const startedAt = performance.now();
    expect((await grpc.unary('Info', { target: named('a') })).answers).toMatchObject([{ model_id: 'second' }]);
    expect(performance.now() - startedAt).toBeLessThan(1_000);
  });
});

describe('an edit', () => {
  test('under load fails no call, of this instance while an endpoint remains, nor of another', async () => {
    const [a, b, other] = await teis('a', 'b', 'other');
    const door = await openDoor();
    const retry = { attempts: 5, backoffMs: 1 };
    await door.put(...teiOf('bge', [a.port, b.port], { retry }), tei('other', other.origin));
    const grpc = grpcOf(door);
    const codes: number[] = [];
    let isOver = false;
    const load = async (name: string, kind: 'unary' | 'stream'): Promise<void> => {
      while (!isOver) {
        const messages = Array.from({ length: 5 }, () => embed(named(name)));
        const seen =
          kind === 'unary' ? grpc.unary('Embed', messages[0] as object) : grpc.stream('EmbedStream', messages);
        const { code, answers } = await seen;
        codes.push(code === 0 && answers.length !== (kind === 'unary' ? 1 : 5) ? -1 : code);
      }
    };
    const loads = ['bge', 'other'].flatMap((name) => [load(name, 'unary'), load(name, 'unary'), load(name, 'stream')]);
    for (let edit = 0; edit < 60; edit += 1) {
      const ports = [[a.port], [b.port], [a.port, b.port]][edit % 3] as number[];
      const before = codes.length;
      await door.put(...teiOf('bge', ports, { retry, timeouts: { requestMs: 10_000 + edit } }));
      await eventually('calls go on', () => codes.length > before + 3);
    }
    isOver = true;
    await Promise.all(loads);
    expect(new Set(codes)).toEqual(new Set([0]));
  });

  test('that makes an instance speak HTTP, and gRPC again, is followed', async () => {
    const [a] = await teis('a');
    const door = await openDoor();
    const grpc = grpcOf(door);
    const codes: number[] = [];
    for (const protocol of ['GRPC', 'HTTP', 'GRPC']) {
      await door.put(tei('a', a.origin, { protocol }));
      codes.push((await grpc.unary('Embed', embed(named('a')))).code);
    }
    expect(codes).toEqual([CODES.OK, CODES.UNIMPLEMENTED, CODES.OK]);
  });
});

describe('the end of the door', () => {
  test('lets open calls end, takes no new ones, and lets go of the instances', async () => {
    const [a] = await teis('a');
    const door = await openDoor({ drainTimeoutMs: 10_000 });
    await door.put(tei('a', a.origin));
    const grpc = grpcOf(door);
    const slow = grpc.unary('Embed', embed(named('a')), { metadata: { 'x-fake-delay-ms': '300' } });
    await eventually('it is under way', () => a.seen.length === 1);
    const drained = door.drain();
    expect((await slow).code).toBe(CODES.OK);
    await drained;
    expect((await grpc.unary('Embed', embed(named('a')))).code).toBe(CODES.UNAVAILABLE);
    expect(a.seen.length).toBe(1);
  });

  test('of a connection that is old fails no call', async () => {
    const [a] = await teis('a');
    const door = await openDoor({ maxConnectionAgeMs: 50 });
    await door.put(tei('a', a.origin));
    const grpc = grpcOf(door, 'TeiMultiplexer', { retries: true });
    const startedAt = performance.now();
    let calls = 0;
    while (performance.now() - startedAt < 400) {
      expect(await grpc.unary('Embed', embed(named('a')))).toMatchObject({ code: CODES.OK, details: 'OK' });
      calls += 1;
    }
    expect(calls).toBeGreaterThan(10);
  });
});

test('over TLS calls are served, and a new certificate is shown once its files change', async () => {
  const folder = temporaryFolder('sluice-grpc-tls');
  const tls = { cert: join(folder, 'tls.crt'), key: join(folder, 'tls.key') };
  const write = ({ cert, key }: { cert: string; key: string }): void => {
    writeFileSync(tls.cert, cert);
    writeFileSync(tls.key, key);
  };
  const first = selfSigned('localhost');
  write(first);
  const [a] = await teis('a');
  const door = await openDoor({ tls, times: { tlsPollMs: 20 } });
  await door.put(tei('a', a.origin));
  const client = new Client(`localhost:${door.grpcPort}`, credentials.createSsl(Buffer.from(first.cert)));
  onTestFinished(() => client.close());
  const code = await new Promise((resolve) => {
    const metadata = Metadata.fromHttp2Headers({ 'x-tei-instance': 'a' });
    const pass = (bytes: Buffer): Buffer => bytes;
    client.makeUnaryRequest('/tei.v1.Info/Info', pass, pass, Buffer.alloc(0), metadata, (error) =>
      resolve(error?.code ?? 0),
    );
  });
  expect(code).toBe(0);
  write(selfSigned('renewed'));
  await expect.poll(() => shown(door.grpcPort)).toBe('renewed');
});

/** The name on the certificate that the door shows now. */
function shown(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols: ['h2'] }, () => {
      resolve(String(socket.getPeerCertificate().subject?.CN));
      socket.destroy();
    });
    socket.once('error', reject);
  });
}

describe('an instance', () => {
  const post = async (url: string, headers = {}): Promise<unknown[]> => {
    const response = await fetch(url, { method: 'POST', headers });
    return [response.status, await response.json()];
  };

  test('[T-13] [T-15] [T-16] is listed, stopped and started on the admin door; a stopped one takes no call', async () => {
    const [a, b] = await teis('a', 'b');
    const door = await openDoor({ startsAndStops: true });
    await door.put(tei('b', b.origin), tei('a', a.origin, { model: 'BAAI/bge' }));
    const grpc = grpcOf(door);
    const of = (name: string, status: string, model: string | null = null): object => ({
      ...{ name, model, protocol: 'GRPC', status, endpoints: 1 },
    });
    const get = async (path: string): Promise<unknown> => (await fetch(door.adminUrl + path)).json();
    expect(await get('/health')).toEqual({ status: 'healthy' });
    expect(await get('/instances')).toEqual([of('a', 'running', 'BAAI/bge'), of('b', 'running')]);
    for (let n = 0; n < 2; n += 1) {
      expect(await post(`${door.adminUrl}/instances/b/stop`)).toEqual([200, of('b', 'stopped')]);
    }
    expect(await get('/instances/b')).toEqual(of('b', 'stopped'));
    expect(await grpc.unary('Embed', embed(named('b')))).toMatchObject({
      code: CODES.UNAVAILABLE,
      details: "Instance 'b' is not running (status: stopped)",
    });
    const third = await grpc.unary('Embed', embed({ instance_index: 2 }));
    expect(third.details).toBe("Instance 'b' is not running (status: stopped)");
    for (let n = 0; n < 3; n += 1) {
      expect((await grpc.unary('Info', { target: { instance_index: 0 } })).answers).toMatchObject([{ model_id: 'a' }]);
    }
    await door.put(tei('b', b.origin, { model: 'other' }));
    expect(await get('/instances/b')).toEqual(of('b', 'stopped', 'other'));
    expect(await post(`${door.adminUrl}/instances/ml%2Fb/start`)).toEqual([200, of('b', 'running', 'other')]);
    expect((await grpc.unary('Embed', embed(named('b')))).code).toBe(CODES.OK);
    expect(await post(`${door.adminUrl}/instances/x/stop`)).toEqual([
      404,
      { error: { message: "There is no instance 'x'" } },
    ]);
    expect((await post(`${door.adminUrl}/instances/b/stop`, { origin: 'http://evil.example' }))[0]).toBe(403);
  });

  test('cannot be stopped through a proxy of a cluster', async () => {
    const [a] = await teis('a');
    const door = await openDoor();
    await door.put(tei('a', a.origin));
    expect((await post(`${door.adminUrl}/instances/a/stop`))[0]).toBe(404);
    expect((await grpcOf(door).unary('Embed', embed(named('a')))).code).toBe(CODES.OK);
  });

  test('that is stopped ends no call under way, and refuses those that wait', async () => {
    const [a] = await teis('a');
    const door = await openDoor({ startsAndStops: true });
    await door.put(tei('a', a.origin, {}, { maxConcurrent: 1 }));
    const grpc = grpcOf(door);
    const slow = grpc.unary('Embed', embed(named('a')), { metadata: { 'x-fake-delay-ms': '300' } });
    await eventually('it is under way', () => a.seen.length === 1);
    const waiting = grpc.unary('Embed', embed(named('a')));
    await eventually('it waits', async () => /sluice_queue_depth\{pool="ml\/a"\} 1/.test(await door.metrics()));
    await post(`${door.adminUrl}/instances/a/stop`);
    expect((await waiting).code).toBe(CODES.UNAVAILABLE);
    expect((await slow).code).toBe(CODES.OK);
  });
});

describe('health checks', () => {
  test('take an endpoint out that says NOT_SERVING, and bring it back within about a second', async () => {
    let health = 2;
    let calls = 0;
    const peer = await startPeer((stream, headers) => {
      const isCheck = String(headers[':path']).startsWith('/grpc.health.v1.');
      if (!isCheck) calls += 1;
      stream.respond(PEER_HEAD, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      stream.end(isCheck ? frameOf(Buffer.from([0x08, health])) : frameOf());
    });
    onTestFinished(peer.close);
    const [good] = await teis('good');
    const door = await openDoor();
    const healthCheck = { path: '', intervalMs: 30_000, timeoutMs: 1_000, unhealthyThreshold: 1, healthyThreshold: 1 };
    await door.put(...teiOf('bge', [peer.port, good.port], { healthCheck }));
    const states = async (): Promise<string> =>
      [...(await door.metrics()).matchAll(/^sluice_endpoints\{.*state="(\w+)"\} ([12])/gm)]
        .map(([, state, count]) => `${count} ${state}`)
        .join(', ');
    await eventually('one is out', async () => (await states()) === '1 ready, 1 unhealthy');
    const grpc = grpcOf(door);
    calls = 0;
    for (let n = 0; n < 6; n += 1) expect((await grpc.unary('Embed', embed(named('bge')))).code).toBe(CODES.OK);
    expect(calls).toBe(0);
    health = 1;
    await eventually('it is back', async () => (await states()) === '2 ready', { timeoutMs: 2_500 });
  });
});
