import { connect } from 'node:net';

/** One event stream as a client holds it, on a raw socket: of many at a time each must cost next to nothing. */
export interface HeldStream {
  /** `done`: it came to its `[DONE]`; `left`: we did; else what was wrong. */
  readonly ended: Promise<string>;
  /** Events so far. */
  readonly events: () => number;
  /** Closes the connection at once. */
  readonly leave: () => void;
}

/** Calls a chat stream at a port of 127.0.0.1. */
export function holdStream(port: number, request: string): HeldStream {
  const socket = connect(port, '127.0.0.1');
  let events = 0;
  let tail = '';
  let end = 'cut';
  socket.on('connect', () => socket.write(request));
  socket.on('error', ({ message }) => {
    if (end === 'cut') end = message;
  });
  socket.on('data', (chunk: Buffer) => {
    const text = chunk.toString('latin1');
    if (events === 0 && text.startsWith('HTTP/1.1 ') && !text.startsWith('HTTP/1.1 200')) end = text.slice(0, 200);
    events += text.split('data: {').length - 1;
    tail = (tail + text).slice(-TAIL.length);
    if (tail !== TAIL) return;
    end = 'done';
    socket.destroy();
  });
  return {
    ended: new Promise((resolve) => socket.once('close', () => resolve(end))),
    events: () => events,
    leave: () => {
      end = 'left';
      socket.destroy();
    },
  };
}

/** The last event, its chunk's end, and the last chunk. */
const TAIL = 'data: [DONE]\n\n\r\n0\r\n\r\n';
