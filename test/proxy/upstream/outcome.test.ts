import { createServer, type Socket } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createConnections } from '../../../proxy/upstream/http1/connections.ts';
import {
  type Cause,
  causeOfConnectError,
  causeOfError,
  causeOfGrpcCode,
  causeOfStatus,
  isConnectionLoss,
  isRetried,
  type Outcome,
  outcomeOf,
  passesThrough,
  type Verdict,
  verdictOf,
} from '../../../proxy/upstream/outcome.ts';

/** Outcome, tried elsewhere, the upstream's own answer may pass, what it says of the endpoint. */
const TABLE: Record<Cause, [Outcome, boolean, boolean, Verdict]> = {
  ok: ['success', false, true, 'alive'],
  client_error: ['client_error', false, true, 'alive'],
  credential: ['credential', true, false, 'alive'],
  rate_limited: ['rate_limited', true, true, 'limit'],
  request_timeout: ['server_error', true, true, 'failure'],
  server_error: ['server_error', true, true, 'failure'],
  broken: ['server_error', false, true, 'failure'],
  refused: ['connect', true, false, 'failure'],
  dns: ['connect', true, false, 'failure'],
  tls: ['connect', true, false, 'failure'],
  connect_timeout: ['connect', true, false, 'failure'],
  address_refused: ['connect', true, false, 'failure'],
  not_sent: ['connect', true, false, 'none'],
  reset: ['cut', true, false, 'failure'],
  truncated: ['cut', true, false, 'failure'],
  first_byte_timeout: ['timeout', true, false, 'failure'],
  stall: ['timeout', true, false, 'failure'],
  cut_in_answer: ['cut', false, false, 'failure'],
  malformed_http: ['malformed', true, false, 'failure'],
  empty: ['malformed', true, false, 'failure'],
  not_json: ['malformed', true, false, 'failure'],
  wrong_type: ['malformed', true, false, 'failure'],
  error_in_body: ['malformed', true, false, 'failure'],
  no_content: ['malformed', true, false, 'failure'],
  upload_broken: ['cancelled', false, false, 'none'],
  client_left: ['cancelled', false, false, 'none'],
  deadline: ['timeout', false, false, 'none'],
};

describe('what follows from how an attempt ended', () => {
  test.each(Object.entries(TABLE))('%s: %j', (cause, row) => {
    const of = cause as Cause;
    expect([outcomeOf(of), isRetried(of), passesThrough(of), verdictOf(of)]).toEqual(row);
  });

  test.each<[string, Cause]>([
    ['OK', 'ok'],
    ['UNAVAILABLE', 'server_error'],
    ['RESOURCE_EXHAUSTED', 'rate_limited'],
    ['UNAUTHENTICATED', 'credential'],
    ['PERMISSION_DENIED', 'credential'],
    ['INTERNAL', 'broken'],
    ['UNKNOWN', 'broken'],
    ['DATA_LOSS', 'broken'],
    ['CANCELLED', 'broken'],
    ['DEADLINE_EXCEEDED', 'deadline'],
    ['INVALID_ARGUMENT', 'client_error'],
    ['FAILED_PRECONDITION', 'client_error'],
    ['UNIMPLEMENTED', 'client_error'],
  ])('an upstream’s own gRPC status %s means %s', (code, cause) => {
    expect(causeOfGrpcCode(code)).toBe(cause);
  });

  test('whatever came in place of a connection counts as one that was not made', () => {
    const coded = (code: string): Error => Object.assign(new Error('x'), { code });
    expect(causeOfConnectError(coded('ECONNREFUSED'))).toBe('refused');
    expect(causeOfConnectError(coded('ENOTFOUND'))).toBe('dns');
    expect(causeOfConnectError(coded('SELF_SIGNED_CERT_IN_CHAIN'))).toBe('tls');
    expect(causeOfConnectError(coded('ERR_UPSTREAM_CLOSED'))).toBe('not_sent');
    expect(causeOfConnectError(new Error('the peer speaks TLS but not HTTP/2'))).toBe('refused');
  });

  test.each<[number, Cause]>([
    [200, 'ok'],
    [204, 'ok'],
    [307, 'ok'],
    [400, 'client_error'],
    [401, 'credential'],
    [403, 'credential'],
    [404, 'client_error'],
    [408, 'request_timeout'],
    [422, 'client_error'],
    [429, 'rate_limited'],
    [499, 'client_error'],
    [500, 'server_error'],
    [501, 'server_error'],
    [503, 'server_error'],
    [529, 'rate_limited'],
    [599, 'server_error'],
  ])('a status of %i is %s', (status, cause) => {
    expect(causeOfStatus(status)).toBe(cause);
  });

  test.each<[string, Cause, Cause]>([
    ['ECONNREFUSED', 'refused', 'truncated'],
    ['EHOSTUNREACH', 'refused', 'truncated'],
    ['ENOTFOUND', 'dns', 'truncated'],
    ['EAI_AGAIN', 'dns', 'truncated'],
    ['ETIMEDOUT', 'connect_timeout', 'truncated'],
    ['ERR_UPSTREAM_CONNECT_TIMEOUT', 'connect_timeout', 'truncated'],
    ['ERR_UPSTREAM_ADDRESS_REFUSED', 'address_refused', 'truncated'],
    ['EPROTO', 'tls', 'truncated'],
    ['ERR_TLS_CERT_ALTNAME_INVALID', 'tls', 'truncated'],
    ['ERR_OSSL_PEM_NO_START_LINE', 'tls', 'truncated'],
    ['DEPTH_ZERO_SELF_SIGNED_CERT', 'tls', 'truncated'],
    ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'tls', 'truncated'],
    ['CERT_HAS_EXPIRED', 'tls', 'truncated'],
    ['EMFILE', 'not_sent', 'truncated'],
    ['ERR_INVALID_HEADER', 'not_sent', 'truncated'],
    ['ERR_UPSTREAM_CLOSED', 'not_sent', 'truncated'],
    ['ERR_UPSTREAM_MALFORMED', 'malformed_http', 'malformed_http'],
    ['ERR_UPSTREAM_BODY_LENGTH', 'upload_broken', 'upload_broken'],
    ['ERR_UPSTREAM_CUT', 'reset', 'truncated'],
    ['ECONNRESET', 'reset', 'truncated'],
    ['EPIPE', 'reset', 'truncated'],
    ['toString', 'reset', 'truncated'],
    ['', 'reset', 'truncated'],
  ])('an error of code %j is %s before the body and %s in it', (code, before, within) => {
    const error = Object.assign(new Error('it broke'), { code });
    expect(causeOfError(error, false)).toBe(before);
    expect(causeOfError(error, true)).toBe(within);
  });

  test('an error that wraps others is what the first of them is', () => {
    const refused = Object.assign(new Error('refused'), { code: 'ECONNREFUSED' });
    expect(causeOfError(new AggregateError([refused, new Error('other')]), false)).toBe('refused');
    expect(causeOfError(new Error('wrapped', { cause: refused }), false)).toBe('refused');
  });

  test.each([
    ['ECONNRESET', true],
    ['EPIPE', true],
    ['ERR_UPSTREAM_CUT', true],
    ['ECONNREFUSED', false],
    ['ERR_UPSTREAM_MALFORMED', false],
    ['ERR_UPSTREAM_BODY_LENGTH', false],
  ])('%s is the sign of a kept connection that was closed: %s', (code, isLoss) => {
    expect(isConnectionLoss(Object.assign(new Error('it broke'), { code }))).toBe(isLoss);
  });
});

/** How a call to a server that does this with its connections ends. */
async function causeOfCall(serve: (socket: Socket) => void, scheme = 'http'): Promise<Cause | 'answered'> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket.on('error', () => undefined));
    serve(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return call(`${scheme}://127.0.0.1:${(server.address() as { port: number }).port}`);
}

function call(origin: string): Promise<Cause | 'answered'> {
  const connections = createConnections({ origin, connectMs: 2_000, lookup: () => undefined });
  onTestFinished(connections.close);
  let hasBytes = false;
  return new Promise((resolve) => {
    connections.send(
      { method: 'GET', path: '/', headers: [], body: undefined },
      {
        onHead: () => undefined,
        onData: () => {
          hasBytes = true;
        },
        onEnd: () => resolve('answered'),
        onError: (error) => resolve(causeOfError(error, hasBytes)),
      },
    );
  });
}

describe('how a call to a server that misbehaves ends', () => {
  test('that is not there: refused', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    await new Promise((resolve) => server.close(resolve));
    expect(await call(`http://127.0.0.1:${port}`)).toBe('refused');
  });

  test('that closes or resets at once: reset', async () => {
    expect(await causeOfCall((socket) => socket.once('data', () => socket.end()))).toBe('reset');
    expect(await causeOfCall((socket) => socket.once('data', () => socket.resetAndDestroy()))).toBe('reset');
  });

  test('that closes within the body: truncated', async () => {
    const cut = 'HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf';
    expect(await causeOfCall((socket) => socket.once('data', () => socket.end(cut)))).toBe('truncated');
  });

  test('that speaks no HTTP: malformed_http', async () => {
    expect(await causeOfCall((socket) => socket.once('data', () => socket.end('SSH-2.0-x\r\n')))).toBe(
      'malformed_http',
    );
  });

  test('that speaks no TLS: tls', async () => {
    expect(await causeOfCall((socket) => socket.once('data', () => socket.end('not TLS at all\r\n')), 'https')).toBe(
      'tls',
    );
  });

  test('that answers: answered', async () => {
    const whole = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';
    expect(await causeOfCall((socket) => socket.once('data', () => socket.end(whole)))).toBe('answered');
  });
});
