import type { ServerResponse } from 'node:http';

/** A client that takes no byte for so long holds a slot or memory for nothing; Node itself has no limit on writing. */
export const STALLED_READER_MS = 60_000;

/**
 * After the last that is said to a client: where it does not take the rest of it, its connection ends. Node looks at
 * what the system has taken meanwhile, so one that is merely slow has as long as it needs.
 */
export function awaitReader({ socket }: ServerResponse, stalledMs = STALLED_READER_MS): void {
  // Nearly always all is with the system already, and nothing is to be done.
  if (socket === null || !(socket.writableLength > 0)) return;
  socket.setTimeout(stalledMs);
  const taken = (): void => {
    if (socket.writableLength > 0) {
      socket.once('drain', taken);
      return;
    }
    // Node has set another where it keeps the connection.
    if (socket.timeout === stalledMs) socket.setTimeout(0);
  };
  socket.once('drain', taken);
}
