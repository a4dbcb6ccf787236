import type { IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';

/** Spread over ±20 %, so that the connections of one moment do not all end at another. */
const SPREAD = 0.2;

/** Tells of a request whether its connection is older than `maxAgeMs` (0: no limit). */
export function limitConnectionAge(
  server: Server,
  maxAgeMs: number,
  random: () => number,
): (req: IncomingMessage) => boolean {
  if (maxAgeMs === 0) return () => false;
  const endOf = new WeakMap<Socket, number>();
  const note = (socket: Socket): void => {
    endOf.set(socket, performance.now() + maxAgeMs * (1 + SPREAD * (2 * random() - 1)));
  };
  // Requests of a TLS server come on the socket of its second event.
  server.on('connection', note).on('secureConnection', note);
  return (req) => performance.now() > (endOf.get(req.socket) ?? Number.POSITIVE_INFINITY);
}
