import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

export type RequestListener = (req: IncomingMessage, res: ServerResponse) => void;

/** What may wait on one connection for the answers before it; a client that sends more is cut. */
const MAX_WAITING = 256;
const MAX_WAITING_BYTES = 256 * 1024;

interface Line {
  waiting: number;
  /** What the connection had read when it last had nobody waiting. */
  readBefore: number;
}

/**
 * One request of a connection at a time. Node starts each as soon as it has read its head: hundreds in one write would
 * be hundreds of calls upstream, held answers and all. Answers go out in the order of requests, so little is lost; and
 * what comes here is POST, which no client may send ahead (RFC 9112, 9.3.2).
 */
export function inTurn(listener: RequestListener): RequestListener {
  const lines = new WeakMap<Socket, Line>();
  return (req, res) => {
    // Node gives a response the connection when those before it are done: nearly always at once.
    if (res.socket === null) waitForTurn(lines, listener, req, res);
    else listener(req, res);
  };
}

function waitForTurn(
  lines: WeakMap<Socket, Line>,
  listener: RequestListener,
  req: IncomingMessage,
  res: ServerResponse,
): void {
  const { socket } = req;
  let line = lines.get(socket);
  if (line === undefined || line.waiting === 0) {
    line = { waiting: 0, readBefore: socket.bytesRead };
    lines.set(socket, line);
  }
  const own = line;
  own.waiting += 1;
  if (own.waiting > MAX_WAITING || socket.bytesRead - own.readBefore > MAX_WAITING_BYTES) {
    socket.destroy();
    return;
  }
  res.once('socket', () => {
    own.waiting -= 1;
    listener(req, res);
  });
}
