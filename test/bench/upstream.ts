import { createServer, type Socket } from 'node:net';

/**
 * A model server that costs next to nothing: reads requests by their content-length and answers each with the same
 * bytes, on raw sockets, so that what a bench sees is the proxy.
 *   node test/bench/upstream.ts BYTES   prints its port
 */
const size = Number(process.argv[2] ?? 1024);
const body = JSON.stringify({ id: 'x', object: 'chat.completion', pad: '' });
const padded = body.replace('""', `"${'x'.repeat(Math.max(0, size - body.length))}"`);
const ANSWER = Buffer.from(
  `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${padded.length}\r\n\r\n${padded}`,
);

function serve(socket: Socket): void {
  let rest: Buffer = Buffer.alloc(0);
  socket.setNoDelay(true);
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk: Buffer) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    for (let end = requestEnd(rest); end > 0; end = requestEnd(rest)) {
      rest = rest.subarray(end);
      socket.write(ANSWER);
    }
  });
}

/** Index behind the first whole request, or 0. */
function requestEnd(bytes: Buffer): number {
  const headEnd = bytes.indexOf('\r\n\r\n');
  if (headEnd === -1) return 0;
  const head = bytes.toString('latin1', 0, headEnd).toLowerCase();
  const length = Number(/\r\ncontent-length: (\d+)/.exec(head)?.[1] ?? 0);
  const end = headEnd + 4 + length;
  return bytes.length >= end ? end : 0;
}

const server = createServer(serve);
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  if (address !== null && typeof address === 'object') process.stdout.write(`${address.port}\n`);
});
