import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createGrpcCheck } from '../../../proxy/grpc/check-instance.ts';
import { CODES } from '../../../proxy/grpc/codes.ts';
import { frameOf } from '../../../proxy/grpc/frames.ts';
import { createSessions } from '../../../proxy/grpc/sessions.ts';
import type { Endpoint } from '../../../proxy/pool.ts';
import { eventually } from '../../support/eventually.ts';
import { freePort } from '../../support/ports.ts';
import { poolOf } from '../balance/pools.ts';
import { type Peer, settingsOf, startPeer } from './peers.ts';

const HEALTH = '/grpc.health.v1.Health/Check';
const INFO = '/tei.v1.Info/Info';
const pool = poolOf([{ name: 'a' }]);
const check = createGrpcCheck('1.2.3');
const ask = (endpoint: Endpoint, timeoutMs = 5_000): Promise<boolean> => check(endpoint, '', timeoutMs, pool);

/** What a method answers: a message with OK, or a code. */
type Answers = Readonly<Record<string, Buffer | keyof typeof CODES>>;

async function peerOf(onStream: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void): Promise<Peer> {
  const peer = await startPeer(onStream);
  onTestFinished(peer.close);
  return peer;
}

function answering(answers: Answers, seen: IncomingHttpHeaders[] = []): Promise<Peer> {
  return peerOf((stream, headers) => {
    seen.push(headers);
    const answer = answers[String(headers[':path'])] ?? 'UNIMPLEMENTED';
    const head = { ':status': 200, 'content-type': 'application/grpc' };
    if (typeof answer === 'string') {
      stream.respond({ ...head, 'grpc-status': String(CODES[answer]) }, { endStream: true });
      return;
    }
    stream.respond(head, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    stream.end(answer);
  });
}

function endpointAt(origin: string, { basePath = '', headers = [] as string[] } = {}): Endpoint {
  const [endpoint] = poolOf([{ name: 'a' }]).tiers[0]?.endpoints ?? [];
  if (endpoint === undefined) throw new Error('no endpoint');
  const sessions = createSessions(settingsOf(origin));
  onTestFinished(sessions.close);
  endpoint.state.sessions = sessions;
  return { ...endpoint, basePath, backend: { ...endpoint.backend, headers } };
}

const says = (health: number): Buffer => frameOf(Buffer.from([0x08, health]));

describe('a health check of a gRPC endpoint', () => {
  test.each<[string, Answers, boolean]>([
    ['SERVING', { [HEALTH]: says(1) }, true],
    ['NOT_SERVING', { [HEALTH]: says(2), [INFO]: frameOf() }, false],
    ['nothing that can be understood', { [HEALTH]: frameOf(Buffer.from([0xff])) }, false],
    ['OK without a message', { [HEALTH]: Buffer.alloc(0) }, false],
    ['UNAVAILABLE', { [HEALTH]: 'UNAVAILABLE', [INFO]: frameOf() }, false],
    ['INTERNAL', { [HEALTH]: 'INTERNAL' }, false],
    ['that it wants another key', { [HEALTH]: 'UNAUTHENTICATED' }, true],
    ['that it has no such service as the whole', { [HEALTH]: 'NOT_FOUND' }, true],
    ['that it is busy', { [HEALTH]: 'RESOURCE_EXHAUSTED' }, true],
    ['that it has no health service, and then its Info', { [INFO]: frameOf(Buffer.from([0x0a, 1, 49])) }, true],
    ['that it has no health service, and its Info wants a key', { [INFO]: 'UNAUTHENTICATED' }, true],
    ['that it has no health service, and its Info fails', { [INFO]: 'UNAVAILABLE' }, false],
  ])('one that says %s', async (_, answers, isWell) => {
    const { origin } = await answering(answers);
    expect(await ask(endpointAt(origin))).toBe(isWell);
  });

  test('goes with the configured headers, below the base path, and says who asks', async () => {
    const seen: IncomingHttpHeaders[] = [];
    const { origin } = await answering({ [`/base${HEALTH}`]: says(1) }, seen);
    const endpoint = endpointAt(origin, { basePath: '/base', headers: ['authorization', 'Bearer key'] });
    expect(await ask(endpoint)).toBe(true);
    expect(seen[0]).toMatchObject({
      ...{ ':method': 'POST', 'content-type': 'application/grpc', te: 'trailers', authorization: 'Bearer key' },
      ...{ 'user-agent': 'sluice-health/1.2.3', 'grpc-timeout': expect.stringMatching(/^\d+[um]$/) },
    });
  });

  test('one that does not answer in time, refuses, or speaks no gRPC, is not well', async () => {
    let closed = 0;
    const silent = await peerOf((stream) => stream.on('close', () => (closed += 1)));
    const startedAt = performance.now();
    expect(await ask(endpointAt(silent.origin), 200)).toBe(false);
    expect(performance.now() - startedAt).toBeLessThan(2_000);
    await eventually('the call is cancelled', () => closed === 1);
    expect(await ask(endpointAt(`http://127.0.0.1:${await freePort()}`))).toBe(false);
    const web = await peerOf((stream) => {
      stream.respond({ ':status': 200, 'content-type': 'text/html' });
      stream.end('hello');
    });
    expect(await ask(endpointAt(web.origin))).toBe(false);
  });

  test('a kept connection that died unnoticed says nothing: a new one is asked', async () => {
    let calls = 0;
    const peer = await peerOf((stream) => {
      calls += 1;
      if (calls === 2) {
        stream.session?.destroy();
        return;
      }
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      stream.end(says(1));
    });
    const endpoint = endpointAt(peer.origin);
    expect([await ask(endpoint), await ask(endpoint), calls, peer.accepted()]).toEqual([true, true, 3, 2]);
  });
});
