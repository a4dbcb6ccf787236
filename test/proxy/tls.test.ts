import { writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { connect, type TLSSocket } from 'node:tls';
import { describe, expect, onTestFinished, test } from 'vitest';
import { selfSigned } from '../support/certificate.ts';
import { temporaryFolder } from '../support/reaper.ts';
import { type Door, openDoor } from './http/door.ts';

interface TlsDoor extends Door {
  readonly write: (pair: { cert: string; key: string }) => void;
}

async function openTlsDoor(options: Parameters<typeof openDoor>[0] = {}): Promise<TlsDoor> {
  const folder = temporaryFolder('sluice-tls');
  const tls = { cert: join(folder, 'tls.crt'), key: join(folder, 'tls.key') };
  const write: TlsDoor['write'] = ({ cert, key }) => {
    writeFileSync(tls.cert, cert);
    writeFileSync(tls.key, key);
  };
  write(selfSigned('first'));
  return { ...(await openDoor({ tls, times: { tlsPollMs: 20 }, ...options })), write };
}

/** The name on the certificate that the door shows now. */
async function shown(port: number): Promise<string> {
  const socket = await tlsSocket(port);
  const { subject } = socket.getPeerCertificate();
  socket.destroy();
  return String(subject?.CN);
}

async function tlsSocket(port: number): Promise<TLSSocket> {
  const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false });
  onTestFinished(() => void socket.destroy());
  await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
  return socket;
}

describe('the TLS door', () => {
  test('serves over TLS, and drops who speaks none', async () => {
    const door = await openTlsDoor();
    const status = await new Promise((resolve, reject) => {
      request({ port: door.port, host: '127.0.0.1', path: '/v1/models', rejectUnauthorized: false }, (response) => {
        response.resume();
        resolve(response.statusCode);
      })
        .on('error', reject)
        .end();
    });
    expect(status).toBe(200);
    await expect(fetch(`http://127.0.0.1:${door.port}/v1/models`)).rejects.toThrow();
  });

  test('shows a new certificate once its files change, and cuts no connection for it', async () => {
    const door = await openTlsDoor();
    expect(await shown(door.port)).toBe('first');
    const kept = await tlsSocket(door.port);
    door.write(selfSigned('second'));
    await expect.poll(() => shown(door.port)).toBe('second');
    kept.write('GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n');
    const answer = await new Promise((resolve) => kept.once('data', (bytes: Buffer) => resolve(bytes.toString())));
    expect(answer).toMatch(/^HTTP\/1.1 200/);
  });

  test('keeps its last certificate where the new one cannot be used, says so once, and takes the next good one', async () => {
    const door = await openTlsDoor();
    const [other, third] = [selfSigned('other'), selfSigned('third')];
    const complaints = (): number => door.log.filter((line) => line.includes('cannot use the certificate')).length;
    door.write({ cert: 'garbage', key: 'garbage' });
    await expect.poll(complaints).toBe(1);
    door.write({ cert: other.cert, key: third.key });
    await expect.poll(complaints).toBe(2);
    expect(await shown(door.port)).toBe('first');
    expect(door.log.join()).not.toContain('PRIVATE KEY');
    door.write(third);
    await expect.poll(() => shown(door.port)).toBe('third');
    expect(complaints()).toBe(2);
  });

  test('ends connections that have reached their age, as the other door does', async () => {
    const door = await openTlsDoor({ maxConnectionAgeMs: 50 });
    const socket = await tlsSocket(door.port);
    let seen = '';
    socket.on('data', (bytes: Buffer) => {
      seen += bytes.toString();
    });
    const ask = (): void => void socket.write('GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n');
    ask();
    await expect.poll(() => seen).toContain('"object":"list"');
    expect(seen).not.toMatch(/connection: close/i);
    const closed = new Promise((resolve) => socket.once('close', resolve));
    const asking = setInterval(ask, 20);
    await closed;
    clearInterval(asking);
    expect(seen).toMatch(/connection: close/i);
  });
});

describe('the door’s certificate', () => {
  test('that is not there stops the start, and the file is named', async () => {
    await expect(openDoor({ tls: { cert: '/nowhere/tls.crt', key: '/nowhere/tls.key' } })).rejects.toThrow(
      '/nowhere/tls.crt',
    );
  });
});
