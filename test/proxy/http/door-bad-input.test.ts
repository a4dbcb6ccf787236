import { describe, expect, test } from 'vitest';
import { backend, chat, errorOf, fakes, httpPost, openDoor, pool, rawClient } from './door.ts';

const CHAT = '/v1/chat/completions';
const OK = JSON.stringify(chat());

describe('a body that cannot be routed', () => {
  test.each([
    ['no JSON at all', 'model=chat', 400, 'invalid_json', null],
    ['nothing', '', 400, 'invalid_json', null],
    ['cut JSON', '{"model":"chat"', 400, 'invalid_json', null],
    ['JSON with more after it', '{"model":"chat"} x', 400, 'invalid_json', null],
    ['a broken value after the model', '{"model":"chat","n":01}', 400, 'invalid_json', null],
    ['a byte order mark', '\ufeff{"model":"chat"}', 400, 'invalid_json', null],
    ['an array', '["model"]', 400, 'missing_model', 'model'],
    ['no model', '{"messages":[]}', 400, 'missing_model', 'model'],
    ['a model that is no string', '{"model":7}', 400, 'missing_model', 'model'],
    ['an empty model', '{"model":""}', 400, 'missing_model', 'model'],
    ['two models', '{"model":"chat","model":"chat"}', 400, 'duplicate_model', 'model'],
    ['two models, one in escapes', '{"model":"chat","\\u006dodel":"other"}', 400, 'duplicate_model', 'model'],
    ['an unknown model', '{"model":"none"}', 404, 'model_not_found', 'model'],
  ])('%s: the right error, and nothing goes upstream', async (_, body, status, code, param) => {
    const [a] = await fakes('a');
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)]));
    const response = await door.post(CHAT, body);
    expect(response.headers.get('content-type')).toBe('application/json');
    const error = await errorOf(response);
    expect(error).toMatchObject({ status, code, type: 'invalid_request_error', message: expect.any(String), param });
    expect(a.calls).toHaveLength(0);
    expect((await door.post(CHAT, OK)).status).toBe(200);
  });

  test('bytes that are no UTF-8 are no JSON', async () => {
    const door = await openDoor();
    const client = await rawClient(door.port);
    client.send(
      Buffer.from('POST /v1/x HTTP/1.1\r\nhost: x\r\ncontent-length: 18\r\n\r\n{"model":"ch\xff\xfet"}\n', 'latin1'),
    );
    expect(await client.until('invalid_json')).toMatch(/^HTTP\/1.1 400/);
  });
});

describe('a path or method that is not served', () => {
  test.each([
    ['GET', '/', 404, 'unknown_path'],
    ['POST', '/v2/chat/completions', 404, 'unknown_path'],
    ['POST', '/v1', 404, 'unknown_path'],
    ['GET', '/health', 404, 'unknown_path'],
    ['POST', '/route', 404, 'unknown_path'],
    ['GET', '/sessions/1', 404, 'unknown_path'],
    ['GET', '/metrics', 404, 'unknown_path'],
    ['GET', '/v1/chat/completions', 405, 'method_not_allowed'],
    ['DELETE', '/v1/chat/completions', 405, 'method_not_allowed'],
    ['PROPFIND', '/v1/models', 405, 'method_not_allowed'],
    ['POST', '/v1//chat', 400, 'bad_request'],
    ['POST', '/v1/./chat', 400, 'bad_request'],
    ['POST', '/v1/%2e%2e/chat', 400, 'bad_request'],
    ['POST', '/v1/a%2Fb', 400, 'bad_request'],
    ['POST', '/v1/a\\b', 400, 'bad_request'],
    ['POST', '/v1/chat#x', 400, 'bad_request'],
    ['POST', 'http://x/v1/chat/completions', 400, 'bad_request'],
    ['OPTIONS', '*', 400, 'bad_request'],
  ])('%s %s is %i %s', async (method, path, status, code) => {
    const door = await openDoor();
    const client = await rawClient(door.port);
    client.send(`${method} ${path} HTTP/1.1\r\nhost: x\r\ncontent-length: ${OK.length}\r\n\r\n${OK}`);
    expect(await client.until(`"code":"${code}"`)).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
  });

  test('a HEAD is refused without a body', async () => {
    const door = await openDoor();
    const response = await fetch(`${door.url}/v1/models`, { method: 'HEAD' });
    expect([response.status, await response.text()]).toEqual([405, '']);
  });
});

describe('a head that is not HTTP as it should be', () => {
  const start = `POST ${CHAT} HTTP/1.1\r\n`;
  const length = `content-length: ${OK.length}\r\n`;
  test.each([
    ['two Hosts', `${start}host: x\r\nhost: y\r\n${length}\r\n${OK}`, 400, 'bad_request'],
    [
      'two Content-Types',
      `${start}host: x\r\ncontent-type: a/b\r\nContent-Type: c/d\r\n${length}\r\n${OK}`,
      400,
      'bad_request',
    ],
    [
      'chunks in HTTP/1.0',
      `POST ${CHAT} HTTP/1.0\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
      400,
      'bad_request',
    ],
    [
      'another coding than chunks',
      `${start}host: x\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n`,
      400,
      'bad_request',
    ],
    ['length and chunks', `${start}host: x\r\n${length}transfer-encoding: chunked\r\n\r\n${OK}`, 400, 'bad_request'],
    ['two lengths', `${start}host: x\r\n${length}content-length: 1\r\n\r\n${OK}`, 400, 'bad_request'],
    ['a length that is none', `${start}host: x\r\ncontent-length: +4\r\n\r\nabcd`, 400, 'bad_request'],
    ['a space before a colon', `${start}host : x\r\n\r\n`, 400, 'bad_request'],
    ['a folded header', `${start}host: x\r\nx-a: b\r\n c\r\n\r\n`, 400, 'bad_request'],
    ['a NUL', `${start}host: x\r\nx-a: b\0c\r\n\r\n`, 400, 'bad_request'],
    ['garbage', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 garbage\r\n\r\n', 400, 'bad_request'],
    ['a version that is none', `POST ${CHAT} HTTP/7.3\r\nhost: x\r\n\r\n`, 400, 'bad_request'],
    ['a chunk that is none', `${start}host: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n`, 400, 'bad_request'],
    [
      'an encoded body',
      `${start}host: x\r\ncontent-encoding: gzip\r\n${length}\r\n${OK}`,
      415,
      'unsupported_media_type',
    ],
    [
      'headers of 20 KiB',
      `${start}host: x\r\nx-a: ${'y'.repeat(20_480)}\r\n${length}\r\n${OK}`,
      431,
      'headers_too_large',
    ],
    [
      'ten thousand headers',
      `${start}host: x\r\n${'x-a: b\r\n'.repeat(10_000)}${length}\r\n${OK}`,
      431,
      'headers_too_large',
    ],
  ])('%s: an error in OpenAI’s form, and nothing goes upstream', async (_, bytes, status, code) => {
    const [a] = await fakes('a');
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)]));
    const client = await rawClient(door.port);
    client.send(Buffer.from(bytes, 'latin1'));
    const answer = await client.until(`"code":"${code}"`);
    expect(answer).toMatch(new RegExp(`^HTTP/1.[01] ${status} `));
    expect(answer).toMatch(/content-type: application\/json/i);
    expect(a.calls).toHaveLength(0);
    expect((await door.post(CHAT, OK)).status).toBe(200);
  });

  test('no Host at all is refused', async () => {
    const door = await openDoor();
    const client = await rawClient(door.port);
    client.send(`${start}${length}\r\n${OK}`);
    expect(await client.until('\r\n\r\n')).toMatch(/^HTTP\/1.1 400 /);
  });

  test('a refusal never lands in the middle of an answer', async () => {
    const [a] = await fakes('a');
    a.behave({ chunks: 10, intervalMs: 20 });
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)]));
    const client = await rawClient(door.port);
    client.send(httpPost(CHAT, chat('chat', { stream: true })));
    await client.until('a 0 ');
    client.send('garbage that is no request\r\n\r\n');
    const answer = await client.closed;
    expect(answer).not.toContain('bad_request');
    expect(answer.match(/HTTP\/1.1/g)).toHaveLength(1);
    await expect.poll(() => a.open()).toBe(0);
  });
});

describe('a client that is odd but right', () => {
  test('two hundred requests in one write are answered in order', async () => {
    const [a] = await fakes('a');
    const door = await openDoor();
    await door.put(pool('chat', [backend(a, { maxConcurrent: 7 })]));
    const client = await rawClient(door.port);
    client.send(
      Array.from({ length: 200 }, (_, n) => httpPost('/v1/x', { model: 'chat' }, `x-request-id: ${n}\r\n`)).join(''),
    );
    const ids = (): number[] => [...client.seen().matchAll(/x-request-id: (\d+)/gi)].map(([, id]) => Number(id));
    await expect.poll(() => ids().length, { timeout: 10_000 }).toBe(200);
    expect(ids()).toEqual(Array.from({ length: 200 }, (_, n) => n));
    expect(await door.pool()).toMatchObject({ inFlight: 0 });
  });

  test('a request that comes byte by byte is served', async () => {
    const [a] = await fakes('a');
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)]));
    const client = await rawClient(door.port);
    client.socket.setNoDelay(true);
    for (const letter of httpPost(CHAT, chat())) client.send(letter);
    expect(await client.until('200 OK')).toMatch(/^HTTP\/1.1 200/);
  });

  test('HTTP/1.0 gets its answer and a closed connection', async () => {
    const [a] = await fakes('a');
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)]));
    const client = await rawClient(door.port);
    client.send(`POST ${CHAT} HTTP/1.0\r\ncontent-length: ${OK.length}\r\n\r\n${OK}`);
    expect(await client.closed).toMatch(/^HTTP\/1.1 200 OK[\s\S]*chat\.completion/);
  });

  test('an upgrade is not taken up', async () => {
    const [a] = await fakes('a');
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)]));
    const client = await rawClient(door.port);
    client.send(
      httpPost(CHAT, chat(), 'connection: upgrade\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAARAAAAAAAIAAAAA\r\n'),
    );
    await client.until('200 OK');
    expect(JSON.stringify(a.calls[0]?.rawHeaders)).not.toMatch(/upgrade|http2/i);
  });
});
