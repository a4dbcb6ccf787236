import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { freePort } from '../../support/ports.ts';
import { backend, type Door, errorOf, fakes, openDoor, pool, rawClient } from './door.ts';

const PATH = '/v1/audio/transcriptions';
const BOUNDARY = 'xBOUNDARYx';
const TYPE = `multipart/form-data; boundary=${BOUNDARY}`;

const field = (name: string, value: string): string =>
  `--${BOUNDARY}\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`;
const fileHead = `--${BOUNDARY}\r\ncontent-disposition: form-data; name="file"; filename="a.mp3"\r\ncontent-type: audio/mpeg\r\n\r\n`;
const END = `--${BOUNDARY}--\r\n`;

const form = (...parts: (string | Buffer)[]): Buffer => Buffer.concat([...parts, END].map((part) => Buffer.from(part)));
const file = (bytes: Buffer): Buffer => Buffer.concat([Buffer.from(fileHead), bytes, Buffer.from('\r\n')]);

function upload(door: Door, body: Buffer, type = TYPE): Promise<Response> {
  return fetch(door.url + PATH, { method: 'POST', headers: { 'content-type': type }, body });
}

/** A server that only counts and hashes what it is sent, `perMs` bytes a millisecond at most. */
async function hasher(
  perMs = Number.POSITIVE_INFINITY,
): Promise<{ url: string; name: string; heads: IncomingMessage[]; received: () => number }> {
  const heads: IncomingMessage[] = [];
  let received = 0;
  const server = createServer(async (req, res) => {
    heads.push(req);
    const hash = createHash('sha256');
    let bytes = 0;
    for await (const chunk of req as AsyncIterable<Buffer>) {
      hash.update(chunk);
      bytes += chunk.length;
      received += chunk.length;
      if (perMs !== Number.POSITIVE_INFINITY) await new Promise((done) => setTimeout(done, chunk.length / perMs));
    }
    res.setHeader('content-type', 'application/json');
    res.end(JSON.stringify({ bytes, sha256: hash.digest('hex') }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    name: 'hasher',
    heads,
    received: () => received,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
  };
}

const digest = (bytes: Buffer): object => ({
  bytes: bytes.length,
  sha256: createHash('sha256').update(bytes).digest('hex'),
});

describe('an upload', () => {
  test.each(['before', 'after'])('of 25 MB passes byte for byte with its model %s the file', async (place) => {
    const server = await hasher();
    const door = await openDoor();
    await door.put(pool('whisper', [backend(server)]));
    const audio = file(randomBytes(25_000_000));
    const model = field('model', 'whisper');
    const body = place === 'before' ? form(model, audio) : form(audio, model, field('language', 'en'));
    const response = await upload(door, body);
    expect(await response.json()).toEqual(digest(body));
    expect(server.heads[0]?.headers).toMatchObject({ 'content-type': TYPE, 'content-length': String(body.length) });
  });

  test('of 60 MB to a slow server waits in the client, not in our memory', async () => {
    const server = await hasher(200_000);
    const door = await openDoor({ maxHeldBytes: 1_000_000 });
    await door.put(pool('whisper', [backend(server)]));
    const piece = randomBytes(60_000_000);
    const body = form(field('model', 'whisper'), file(piece));
    const client = await rawClient(door.port);
    client.send(`POST ${PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: ${TYPE}\r\ncontent-length: ${body.length}\r\n\r\n`);
    let most = 0;
    for (let sent = 0; sent < body.length; sent += 65_536) {
      if (!client.socket.write(body.subarray(sent, sent + 65_536))) await once(client.socket, 'drain');
      most = Math.max(most, sent - server.received());
    }
    expect(await client.until('sha256')).toContain(createHash('sha256').update(body).digest('hex'));
    // What stands in the buffers of two connections, the kernel's included.
    expect(most).toBeLessThan(30_000_000);
  });

  test('no longer counts as held once it is on its way', async () => {
    const [a] = await fakes('a');
    const door = await openDoor({ maxHeldBytes: 1_000_000 });
    await door.put(pool('whisper', [backend(a)]));
    a.behave({ delayMs: 500 });
    const body = form(file(randomBytes(700_000)), field('model', 'whisper'));
    const first = upload(door, body);
    await expect.poll(() => a.calls.length).toBe(1);
    expect((await upload(door, body)).status).toBe(200);
    expect((await first).status).toBe(200);
  });

  test('in chunks goes up in chunks', async () => {
    const [a] = await fakes('a');
    const door = await openDoor();
    await door.put(pool('whisper', [backend(a)]));
    const body = form(file(Buffer.from('abc')), field('model', 'whisper'));
    const client = await rawClient(door.port);
    client.send(`POST ${PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: ${TYPE}\r\ntransfer-encoding: chunked\r\n\r\n`);
    for (const byte of body) client.send(Buffer.from(`1\r\n${String.fromCharCode(byte)}\r\n`, 'latin1'));
    client.send('0\r\n\r\n');
    await client.until('200 OK');
    expect(a.calls[0]?.body).toEqual(body);
    expect(a.calls[0]?.headers).toMatchObject({ 'transfer-encoding': 'chunked' });
  });

  test('whose model is renamed has the length of its new bytes', async () => {
    const [a] = await fakes('a');
    const door = await openDoor();
    await door.put(pool('whisper', [backend(a, { model: 'openai/whisper-large-ü' })]));
    const bytes = file(randomBytes(300_000));
    expect((await upload(door, form(bytes, field('model', 'whisper'), field('n', '1')))).status).toBe(200);
    const expected = form(bytes, field('model', 'openai/whisper-large-ü'), field('n', '1'));
    expect(a.calls[0]?.body.equals(expected)).toBe(true);
    expect(a.calls[0]?.headers['content-length']).toBe(String(expected.length));
  });

  test('goes to another endpoint while no byte of it has gone out, and fails once one has', async () => {
    const [b, c] = await fakes('b', 'c');
    const a = { name: 'a', url: `http://127.0.0.1:${await freePort()}` };
    const door = await openDoor();
    await door.put(pool('whisper', [backend(a), backend(b)], { strategy: 'Failover' }));
    const body = form(field('model', 'whisper'), file(randomBytes(500_000)));
    const response = await upload(door, body);
    expect([response.status, response.headers.get('x-sluice-attempts')]).toEqual([200, '2']);
    expect(b.calls[0]?.body.equals(body)).toBe(true);
    await response.text();

    b.behave({ status: 500 });
    await door.put(pool('whisper', [backend(b), backend(c)], { strategy: 'Failover' }));
    const failed = await upload(door, body);
    expect([failed.status, failed.headers.get('x-sluice-attempts')]).toEqual([500, '1']);
    expect(c.calls).toHaveLength(0);
  });
});

describe('an upload that is refused', () => {
  test.each([
    ['without a model', form(file(Buffer.from('abc'))), TYPE, 400, 'missing_model'],
    ['with an empty model', form(field('model', '')), TYPE, 400, 'missing_model'],
    ['with two models', form(field('model', 'whisper'), field('model', 'whisper')), TYPE, 400, 'duplicate_model'],
    ['with an unknown model', form(field('model', 'none')), TYPE, 404, 'model_not_found'],
    ['without its end', Buffer.from(fileHead), TYPE, 400, 'bad_request'],
    ['of garbage', randomBytes(50_000), TYPE, 400, 'bad_request'],
    ['without a boundary', form(field('model', 'whisper')), 'multipart/form-data', 400, 'bad_request'],
    ['with an empty body', Buffer.alloc(0), TYPE, 400, 'bad_request'],
    [
      'of another kind of multipart',
      form(field('model', 'whisper')),
      `multipart/mixed; boundary=${BOUNDARY}`,
      415,
      'unsupported_media_type',
    ],
  ])('%s', async (_, body, type, status, code) => {
    const [a] = await fakes('a');
    const door = await openDoor();
    await door.put(pool('whisper', [backend(a)]));
    expect(await errorOf(await upload(door, body, type))).toMatchObject({ status, code });
    expect(a.calls).toHaveLength(0);
  });

  test.each([
    ['a second model', field('model', 'other'), 'duplicate_model'],
    ['bytes after a boundary that belong to none', `--${BOUNDARY}xx`, 'bad_request'],
  ])('late, by %s behind a large file, cancels what was sent', async (_, late, code) => {
    const [a] = await fakes('a');
    const door = await openDoor();
    await door.put(pool('whisper', [backend(a)]));
    const body = form(field('model', 'whisper'), file(randomBytes(3_000_000)), late);
    expect(await errorOf(await upload(door, body))).toMatchObject({ status: 400, code });
    await expect.poll(() => a.open()).toBe(0);
    expect(a.calls).toHaveLength(0);
    expect(await door.pool('whisper')).toMatchObject({ inFlight: 0 });
  });

  test('for what stands before its model being too much', async () => {
    const [a] = await fakes('a');
    const door = await openDoor();
    await door.put(pool('whisper', [backend(a)]));
    const body = form(file(Buffer.alloc(34 << 20, 1)), field('model', 'whisper'));
    expect(await errorOf(await upload(door, body))).toMatchObject({ status: 413, code: 'request_too_large' });
  });

  test('for its length, declared or not', async () => {
    const [a] = await fakes('a');
    const door = await openDoor({ maxBodyBytes: 1_000_000 });
    await door.put(pool('whisper', [backend(a)]));
    const body = form(field('model', 'whisper'), file(randomBytes(1_000_000)));
    expect(await errorOf(await upload(door, body))).toMatchObject({ status: 413, code: 'request_too_large' });
    const client = await rawClient(door.port);
    client.send(`POST ${PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: ${TYPE}\r\ntransfer-encoding: chunked\r\n\r\n`);
    client.send(Buffer.concat([Buffer.from(`${body.length.toString(16)}\r\n`), body, Buffer.from('\r\n0\r\n\r\n')]));
    expect(await client.until('request_too_large')).toMatch(/^HTTP\/1.1 413/);
    await expect.poll(() => a.open()).toBe(0);
  });

  test('for falling silent: 408, and the server is let go', async () => {
    const [a] = await fakes('a');
    const door = await openDoor({ times: { bodyMs: 200 } });
    await door.put(pool('whisper', [backend(a)]));
    for (const sent of ['', field('model', 'whisper') + fileHead]) {
      const client = await rawClient(door.port);
      client.send(`POST ${PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: ${TYPE}\r\ncontent-length: 5000\r\n\r\n${sent}`);
      expect(await client.closed).toMatch(/^HTTP\/1.1 408 [\s\S]*"timeout"/);
    }
    await expect.poll(() => a.open()).toBe(0);
  });

  test('by a server that answers before it has read all of it: its answer is passed on, and the connection goes on', async () => {
    const early = createServer((req, res) => {
      req.once('data', () => {
        req.pause();
        res.writeHead(400, { 'content-type': 'application/json' }).end('{"error":{"message":"early"}}');
      });
    });
    early.listen(0, '127.0.0.1');
    await once(early, 'listening');
    onTestFinished(() => {
      early.closeAllConnections();
      early.close();
    });
    const door = await openDoor();
    const url = `http://127.0.0.1:${(early.address() as AddressInfo).port}`;
    await door.put(pool('whisper', [{ name: 'early', url }]));
    const body = form(field('model', 'whisper'), file(randomBytes(20_000_000)));
    const client = await rawClient(door.port);
    client.send(`POST ${PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: ${TYPE}\r\ncontent-length: ${body.length}\r\n\r\n`);
    client.send(body);
    client.send('GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n');
    expect(await client.until('"object":"list"')).toMatch(/^HTTP\/1.1 400 [\s\S]*early[\s\S]*HTTP\/1.1 200/);
  });

  test('by its client, who leaves: the server is let go', async () => {
    const [a] = await fakes('a');
    const door = await openDoor();
    await door.put(pool('whisper', [backend(a)]));
    const client = await rawClient(door.port);
    client.send(`POST ${PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: ${TYPE}\r\ncontent-length: 5000\r\n\r\n`);
    client.send(field('model', 'whisper') + fileHead);
    await expect.poll(() => a.open()).toBe(1);
    client.socket.destroy();
    await expect.poll(() => a.open()).toBe(0);
    expect(await door.pool('whisper')).toMatchObject({ inFlight: 0 });
  });
});
