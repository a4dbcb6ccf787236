import type { IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';
import { Server as TlsServer } from 'node:tls';

/**
 * Gives a function that ends a server: idle connections now, busy ones with their answer, and after `timeoutMs` all that
 * is left. Node alone waits for a connection that was busy when it began (its client may keep it), and for one on which
 * no request ever came.
 */
export function createDrain(server: Server): (timeoutMs: number) => Promise<void> {
  const unused = new Set<Socket>();
  server.on(server instanceof TlsServer ? 'secureConnection' : 'connection', (socket: Socket) => {
    unused.add(socket);
    socket.once('close', () => unused.delete(socket));
  });
  // A request is one of these, by what it expects.
  for (const event of ['request', 'checkContinue', 'checkExpectation']) {
    server.on(event, (req: IncomingMessage) => unused.delete(req.socket));
  }

  return (timeoutMs) =>
    new Promise((resolve) => {
      const look = setInterval(() => server.closeIdleConnections(), LOOK_MS);
      const done = (): void => {
        clearInterval(look);
        clearTimeout(timer);
        server.closeAllConnections();
        resolve();
      };
      const timer = setTimeout(done, timeoutMs);
      server.close(done);
      for (const socket of unused) socket.destroy();
    });
}

const LOOK_MS = 50;
