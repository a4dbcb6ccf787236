import { connect, type Socket } from 'node:net';

/** What a closed loop saw: each connection sends its next call when it has its answer. */
export interface LoopResult {
  readonly calls: number;
  /** Answers other than 200, and broken connections. */
  readonly failed: number;
  readonly seconds: number;
}

/** Keeps `connections` calls under way at a port for a time; on raw sockets, so that it costs a fraction of a proxy. */
export async function closedLoop(port: number, connections: number, ms: number, request: Buffer): Promise<LoopResult> {
  const end = performance.now() + ms;
  const started = performance.now();
  const results = await Promise.all(Array.from({ length: connections }, () => oneConnection(port, end, request)));
  return {
    calls: results.reduce((sum, { calls }) => sum + calls, 0),
    failed: results.reduce((sum, { failed }) => sum + failed, 0),
    seconds: (performance.now() - started) / 1000,
  };
}

function oneConnection(port: number, end: number, request: Buffer): Promise<{ calls: number; failed: number }> {
  return new Promise((resolve) => {
    let calls = 0;
    let failed = 0;
    let answer = 0;
    const socket: Socket = connect(port, '127.0.0.1');
    const finish = (): void => {
      socket.destroy();
      resolve({ calls, failed });
    };
    socket.setNoDelay(true);
    socket.on('connect', () => socket.write(request));
    socket.on('error', () => {
      failed += 1;
      finish();
    });
    socket.on('data', (chunk: Buffer) => {
      if (answer === 0) answer = answerLength(chunk);
      answer -= chunk.length;
      if (answer > 0) return;
      answer = 0;
      calls += 1;
      if (chunk.length > 12 && chunk.toString('latin1', 0, 5) === 'HTTP/' && chunk.toString('latin1', 9, 12) !== '200')
        failed += 1;
      if (performance.now() < end) socket.write(request);
      else finish();
    });
  });
}

/** Bytes of a whole answer, by its head; all of a head comes in one packet here. */
function answerLength(chunk: Buffer): number {
  const headEnd = chunk.indexOf('\r\n\r\n');
  const head = chunk.toString('latin1', 0, headEnd).toLowerCase();
  const length = Number(/\r\ncontent-length: (\d+)/.exec(head)?.[1] ?? 0);
  return headEnd + 4 + length;
}
