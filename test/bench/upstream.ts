import { createServer, type Socket } from 'node:net';

/**
 * A model server that costs next to nothing: reads requests by their content-length and answers each with the same
 * bytes, on raw sockets, so that what a bench sees is the proxy.
 *   node test/bench/upstream.ts BYTES    a JSON answer of so many bytes
 *   node test/bench/upstream.ts burst    50 events, all in one write
 *   node test/bench/upstream.ts spaced   50 events, one write each, 2 ms apart
 * It prints its port.
 */
const how = process.argv[2] ?? '1024';
const EVENTS = 50;
const SPACE_MS = 2;

function jsonAnswer(size: number): Buffer {
  const body = JSON.stringify({ id: 'x', object: 'chat.completion', pad: '' });
  const padded = body.replace('""', `"${'x'.repeat(Math.max(0, size - body.length))}"`);
  return Buffer.from(
    `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${padded.length}\r\n\r\n${padded}`,
  );
}

/** As a model server sends them: each event a chunk of its own, the head with the first, the end with the last. */
function events(): Buffer[] {
  const of = (choice: object): string =>
    `data: ${JSON.stringify({
      ...{ id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1_700_000_000, model: 'chat' },
      choices: [{ index: 0, finish_reason: null, ...choice }],
    })}\n\n`;
  const texts = Array.from({ length: EVENTS - 3 }, (_, n) => of({ delta: { content: ` word${n}` } }));
  const all = [
    of({ delta: { role: 'assistant', content: '' } }),
    ...texts,
    of({ delta: {}, finish_reason: 'stop' }),
    'data: [DONE]\n\n',
  ].map((event) => `${event.length.toString(16)}\r\n${event}\r\n`);
  const head = 'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n';
  return all.map((chunk, n) => Buffer.from((n === 0 ? head : '') + chunk + (n === EVENTS - 1 ? '0\r\n\r\n' : '')));
}

/** One timer for all streams: sends each its next piece. */
function spaced(pieces: readonly Buffer[]): (socket: Socket) => void {
  const under = new Map<Socket, number>();
  setInterval(() => {
    for (const [socket, at] of under) {
      socket.write(pieces[at] as Buffer);
      if (at + 1 < pieces.length && !socket.destroyed) under.set(socket, at + 1);
      else under.delete(socket);
    }
  }, SPACE_MS);
  return (socket) => under.set(socket, 0);
}

function answering(): (socket: Socket) => void {
  if (how === 'spaced') return spaced(events());
  const answer = how === 'burst' ? Buffer.concat(events()) : jsonAnswer(Number(how));
  return (socket) => void socket.write(answer);
}

const answer = answering();

function serve(socket: Socket): void {
  let rest: Buffer = Buffer.alloc(0);
  socket.setNoDelay(true);
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk: Buffer) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    for (let end = requestEnd(rest); end > 0; end = requestEnd(rest)) {
      rest = rest.subarray(end);
      answer(socket);
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
