import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { request } from 'undici';
import { describe, expect, onTestFinished, test } from 'vitest';
import { forwardableRequestHeaders, forwardableResponseHeaders, withSettings } from '../../../proxy/http/headers.ts';

const IDENTITY = ['accept-encoding', 'identity'];

function flat(text: string): string[] {
  return text.split('\n').flatMap((line) => {
    const colon = line.indexOf(': ');
    return [line.slice(0, colon), line.slice(colon + 2)];
  });
}

describe('forwardableRequestHeaders', () => {
  test.each([
    'Host',
    'Content-Length',
    'Connection',
    'Keep-Alive',
    'TE',
    'Trailer',
    'Transfer-Encoding',
    'Upgrade',
    'HTTP2-Settings',
    'Expect',
    'Accept-Encoding',
    'Authorization',
    'X-Api-Key',
    'Api-Key',
    'Cookie',
    'Forwarded',
    'X-Forwarded-For',
    'X-Forwarded-Proto',
    'X-Forwarded-Anything-At-All-However-Long-It-May-Be',
    'Proxy-Authorization',
    'Proxy-Connection',
    'proxy-x',
  ])('%s is not sent on, in any case and with underscores', (name) => {
    const spellings = [name, name.toLowerCase(), name.toUpperCase(), name.replaceAll('-', '_'), name.replace('-', '_')];
    for (const spelling of spellings) {
      expect(forwardableRequestHeaders([spelling, 'value', 'x-a', '1']), spelling).toEqual(['x-a', '1', ...IDENTITY]);
    }
  });

  test.each([
    'Content-Type',
    'Accept',
    'User-Agent',
    'X-Request-Id',
    'traceparent',
    'OpenAI-Organization',
    'X-Stainless-Lang',
    'Idempotency-Key',
    'x-session-id',
    'x_custom',
    'Authorizations',
    'Authorized-By',
    'X-Api-Keys',
    'Cookies',
    'Hosts',
    'X-Forwarded',
    'X-Forwards-To',
    'Proxy',
    '__proto__',
    'constructor',
    'a',
    'x',
    '~',
  ])('%s is sent on as it came', (name) => {
    expect(forwardableRequestHeaders([name, 'Value 1', 'x-b', ''])).toEqual([name, 'Value 1', 'x-b', '', ...IDENTITY]);
  });

  test('a second spelling of the content headers with underscores is dropped, the real one stays', () => {
    const headers = flat('Content-Type: application/json\ncontent_type: multipart/form-data\nContent_Encoding: gzip');
    expect(forwardableRequestHeaders(headers)).toEqual(['Content-Type', 'application/json', ...IDENTITY]);
  });

  test('what Connection names is dropped wherever it stands', () => {
    const headers = flat(
      'X-Before: 1\nConnection: close, X-Before , x-AFTER,,\nKeep: 2\nconnection: X_Third\nX-After: 3\nx-third: 4',
    );
    expect(forwardableRequestHeaders(headers)).toEqual(['Keep', '2', ...IDENTITY]);
  });

  test('duplicates and their order stay', () => {
    const headers = flat('x-a: 1\nX-B: 2\nx-A: 3');
    expect(forwardableRequestHeaders(headers)).toEqual([...headers, ...IDENTITY]);
  });
});

describe('withSettings', () => {
  test('configured headers come last and take the place of the client’s, in any spelling', () => {
    const headers = flat('X-Team: mine\nx_team: mine\nx-teams: 1\naccept-encoding: identity');
    expect(withSettings(headers, ['x-team', 'search', 'Authorization', 'Bearer key'])).toEqual(
      flat('x-teams: 1\naccept-encoding: identity\nx-team: search\nAuthorization: Bearer key'),
    );
    expect(headers).toHaveLength(8);
  });

  test('nothing configured copies nothing', () => {
    const headers = ['a', '1'];
    expect(withSettings(headers, [])).toBe(headers);
  });

  test('a client cannot remove a configured header by naming it in Connection', () => {
    const headers = forwardableRequestHeaders(['Connection', 'authorization, x-team']);
    expect(withSettings(headers, ['authorization', 'Bearer key', 'x-team', 'a'])).toEqual([
      ...IDENTITY,
      ...['authorization', 'Bearer key', 'x-team', 'a'],
    ]);
  });
});

describe('forwardableResponseHeaders', () => {
  test('drops what belongs to the upstream’s connection, its cookies and what is ours to say', () => {
    const headers = flat(
      [
        'Connection: keep-alive, X-Hop\nKeep-Alive: timeout=5\nTransfer-Encoding: chunked\nX-Hop: 1\nTrailer: x\nUpgrade: h2c',
        'Set-Cookie: a=b\nset-cookie: c=d\nWWW-Authenticate: Bearer\nProxy-Authenticate: Basic\nAlt-Svc: h3=":443"',
        'Strict-Transport-Security: max-age=1\nX-Request-Id: theirs\nX-Sluice-Pool: forged\nAuthorization: echoed\nX-Api-Key: echoed',
        'Content-Type: text/event-stream\nContent-Length: 3\nContent-Encoding: br\nRetry-After: 1\nx-ratelimit-limit-requests: 9\nDate: now',
      ].join('\n'),
    );
    expect(forwardableResponseHeaders(headers)).toEqual(
      flat(
        'Content-Type: text/event-stream\nContent-Length: 3\nContent-Encoding: br\nRetry-After: 1\nx-ratelimit-limit-requests: 9\nDate: now',
      ),
    );
  });
});

test('what Node’s server takes in, undici sends on once the headers are stripped', async () => {
  const seen: string[][] = [];
  const upstream = createServer((req, res) => {
    seen.push(req.rawHeaders);
    res.end('ok');
  });
  const front = createServer(async (req, res) => {
    const headers = withSettings(forwardableRequestHeaders(req.rawHeaders), ['authorization', 'Bearer ours']);
    const { port } = upstream.address() as AddressInfo;
    const answer = await request(`http://127.0.0.1:${port}/`, { method: 'POST', headers, body: '{}' });
    res.end(await answer.body.text());
  });
  for (const server of [upstream, front]) {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void server.close());
  }
  const socket = connect((front.address() as AddressInfo).port, '127.0.0.1');
  // Not end(): Node takes a half-closed client for one that left.
  socket.write(
    'POST / HTTP/1.1\r\nHost: x\r\nConnection: close, x-hop\r\nKeep-Alive: 5\r\nTE: trailers\r\nTrailer: x\r\nUpgrade-Insecure-Requests: 1\r\n' +
      'X-Hop: 1\r\nProxy-Authorization: a\r\nAuthorization: Bearer theirs\r\nx_api_key: b\r\n__proto__: c\r\nX-Latin: \xe4\r\nContent-Length: 2\r\n\r\n{}',
    'latin1',
  );
  const answer = (await socket.toArray()).join('');
  expect(answer).toMatch(/^HTTP\/1.1 200 /);
  const raw = seen[0] as string[];
  expect(raw.filter((_, index) => index % 2 === 0).map((name) => name.toLowerCase())).toEqual(
    expect.arrayContaining(['upgrade-insecure-requests', '__proto__', 'x-latin', 'accept-encoding', 'authorization']),
  );
  expect(raw).toContain('Bearer ours');
  expect(raw.join('\n')).not.toMatch(/theirs|x-hop|x_api_key|trailers/i);
  expect(raw[raw.findIndex((name) => name.toLowerCase() === 'x-latin') + 1]).toBe('\xe4');
});
