import { connect } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { ClientCall } from '../../../proxy/grpc/client-call.ts';
import { createFrameReader, frameOf, readFrames } from '../../../proxy/grpc/frames.ts';
import { OK, readRequests } from '../../../proxy/grpc/own-call.ts';
import { createGrpcServer } from '../../../proxy/grpc/server.ts';
import { eventually } from '../../support/eventually.ts';

const HOLDS = { held: { total: 0, meanSeconds: 1, shed: new Map() }, maxHeldBytes: 1_000_000 };

test('while a client takes no answers none of its requests is handed on; when it does, each is, in order', async () => {
  const ASKED = 2_000;
  const ANSWER = frameOf(Buffer.alloc(10_000));
  const taken: number[] = [];
  const door = createGrpcServer(
    (stream, headers, _flags, rawHeaders) => {
      const call = new ClientCall(stream, String(headers[':path']), rawHeaders, HOLDS);
      const onRequest = (frame: Buffer): boolean => {
        taken.push(frame.readUInt32BE(5));
        return call.write(ANSWER);
      };
      readRequests(call, onRequest, () => call.end(OK));
    },
    { maxConnectionAgeMs: 0, random: () => 0.5 },
  );
  await new Promise<void>((resolve) => door.server.listen(0, '127.0.0.1', resolve));
  const client = connect(`http://127.0.0.1:${(door.server.address() as AddressInfo).port}`);
  client.on('error', () => undefined);
  onTestFinished(async () => {
    client.destroy();
    await door.drain(0);
  });
  const stream = client.request({ ':method': 'POST', ':path': '/x', 'content-type': 'application/grpc' });
  stream.pause();
  // All in one chunk.
  stream.end(Buffer.concat(Array.from({ length: ASKED }, (_, index) => frameOf(numbered(index)))));
  await eventually('the first requests are taken', () => taken.length > 0);
  let before = -1;
  await eventually('no more are', () => {
    const isStill = taken.length === before;
    before = taken.length;
    return isStill;
  });
  expect(taken.length).toBeLessThan(100);

  let answers = 0;
  const reader = createFrameReader(1_000_000);
  stream.on('data', (chunk: Buffer) => {
    readFrames(reader, chunk, () => {
      answers += 1;
    });
  });
  stream.resume();
  const trailers = await new Promise<Record<string, unknown>>((resolve) => stream.on('trailers', resolve));
  expect(trailers['grpc-status']).toBe('0');
  expect(answers).toBe(ASKED);
  expect(taken).toEqual(Array.from({ length: ASKED }, (_, index) => index));
});

function numbered(index: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(index);
  return bytes;
}
