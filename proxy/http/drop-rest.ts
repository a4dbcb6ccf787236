import type { IncomingMessage } from 'node:http';

/**
 * Lets a client send the rest of a body that nobody reads any more, so that it comes to reading its answer: a close with
 * unread bytes resets the connection and takes the answer along. A client that is not done in time is cut.
 */
export function dropRest(req: IncomingMessage, restMs: number): void {
  if (req.complete || req.destroyed) return;
  const timer = setTimeout(() => req.socket.destroy(), restMs);
  req.once('close', () => clearTimeout(timer));
  req.resume();
}
