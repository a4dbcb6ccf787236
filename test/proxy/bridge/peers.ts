import { constants, type ServerHttp2Stream } from 'node:http2';
import { onTestFinished } from 'vitest';
import { CODES } from '../../../proxy/grpc/codes.ts';
import { frameOf } from '../../../proxy/grpc/frames.ts';
import { type Peer, startPeer } from '../grpc/peers.ts';

export const HEAD = { ':status': 200, 'content-type': 'application/grpc' };

/** A server that does the same with every stream. */
export async function peerThat(onStream: (stream: ServerHttp2Stream, path: string) => void): Promise<Peer> {
  const peer = await startPeer((stream, headers) => onStream(stream, String(headers[':path'])));
  onTestFinished(peer.close);
  return peer;
}

/** Ends a stream with these bytes as its messages, and OK. */
export function answerWith(stream: ServerHttp2Stream, bytes: Buffer): void {
  stream.respond(HEAD, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
  stream.end(bytes);
}

export function saying(code: keyof typeof CODES, more: Readonly<Record<string, string>> = {}) {
  return (stream: ServerHttp2Stream): void => {
    const trailers = { 'grpc-status': String(CODES[code]), 'grpc-message': 'as told', ...more };
    stream.respond({ ...HEAD, ...trailers }, { endStream: true });
  };
}

/** An EmbedResponse of one float. */
export const EMBEDDED: Buffer = frameOf(Buffer.from([0x0a, 4, 0, 0, 0x80, 0x3f]));

export function resetting(code: keyof typeof constants) {
  return (stream: ServerHttp2Stream): void => stream.close(constants[code] as number);
}
