import { createHash, type Hash } from 'node:crypto';
import { createServer, type Server, type Socket } from 'node:net';

/** A model server whose answers are larger than any buffer on the way. */
export interface LargeAnswers {
  readonly url: string;
  /** Bytes of bodies that it could hand over to the system so far, of all its answers together. */
  readonly sentBytes: () => number;
  /** Of the body of each answer. */
  readonly sha256: string;
  readonly stop: () => Promise<void>;
}

const PIECE_BYTES = 64 * 1024;

/** Answers every call with `bytes` of `contentType`, by their length, as fast as they are taken. */
export async function startLargeAnswers(bytes: number, contentType: string): Promise<LargeAnswers> {
  const sockets = new Set<Socket>();
  let sent = 0;
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
    socket.on('data', (chunk) => {
      // A call here is one packet.
      if (!chunk.includes('\r\n\r\n')) return;
      socket.write(`HTTP/1.1 200 OK\r\ncontent-type: ${contentType}\r\ncontent-length: ${bytes}\r\n\r\n`);
      pour(socket, bytes, (size) => {
        sent += size;
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${portOf(server)}`,
    sentBytes: () => sent,
    sha256: hashOf(bytes),
    stop: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function pour(socket: Socket, bytes: number, count: (size: number) => void): void {
  let at = 0;
  const more = (): void => {
    while (at < bytes) {
      const part = pieceAt(at, bytes);
      at += part.length;
      if (!socket.write(part, () => count(part.length))) {
        socket.once('drain', more);
        return;
      }
    }
  };
  more();
}

/** One line of an event with content, so that as an event stream it is passed on from the start. */
const LINE = Buffer.from('data: {"choices":[{"index":0,"delta":{"content":"0123456789abcdef"}}]}\n\n');
const PIECE = Buffer.concat(Array.from({ length: PIECE_BYTES / LINE.length }, () => LINE));

function pieceAt(at: number, bytes: number): Buffer {
  return PIECE.subarray(0, Math.min(PIECE.length, bytes - at));
}

function hashOf(bytes: number): string {
  const hash: Hash = createHash('sha256');
  for (let at = 0; at < bytes; at += PIECE.length) hash.update(pieceAt(at, bytes));
  return hash.digest('hex');
}

function portOf(server: Server): number {
  const address = server.address();
  return address !== null && typeof address === 'object' ? address.port : 0;
}
