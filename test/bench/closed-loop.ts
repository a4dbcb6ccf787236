import { connect, type Socket } from 'node:net';

/** What a closed loop saw: each connection sends its next call when it has its answer. */
export interface LoopResult {
  readonly calls: number;
  /** Answers other than 200, and broken connections. */
  readonly failed: number;
  readonly seconds: number;
  /** From the sockets, of all answers together. */
  readonly reads: number;
}

/**
 * Keeps `connections` calls under way at a port for a time, `requests` in turn; on raw sockets, so that it costs a
 * fraction of a proxy.
 */
export async function closedLoop(
  port: number,
  connections: number,
  ms: number,
  requests: readonly Buffer[],
): Promise<LoopResult> {
  const end = performance.now() + ms;
  const started = performance.now();
  const results = await Promise.all(
    Array.from({ length: connections }, (_, index) => oneConnection(port, end, requests, index)),
  );
  const sum = (read: (result: Counts) => number): number => results.reduce((total, one) => total + read(one), 0);
  return {
    calls: sum(({ calls }) => calls),
    failed: sum(({ failed }) => failed),
    reads: sum(({ reads }) => reads),
    seconds: (performance.now() - started) / 1000,
  };
}

type Counts = Pick<LoopResult, 'calls' | 'failed' | 'reads'>;

function oneConnection(port: number, end: number, requests: readonly Buffer[], first: number): Promise<Counts> {
  return new Promise((resolve) => {
    let calls = 0;
    let failed = 0;
    let reads = 0;
    let turn = first;
    /** Bytes still to come; Infinity: until the last chunk. */
    let answer = 0;
    const socket: Socket = connect(port, '127.0.0.1');
    const next = (): void => {
      socket.write(requests[turn % requests.length] as Buffer);
      turn += 1;
    };
    const finish = (): void => {
      socket.destroy();
      resolve({ calls, failed, reads });
    };
    socket.setNoDelay(true);
    socket.on('connect', next);
    socket.on('error', () => {
      failed += 1;
      finish();
    });
    socket.on('data', (chunk: Buffer) => {
      reads += 1;
      if (answer === 0) {
        answer = answerLength(chunk);
        if (chunk.toString('latin1', 9, 12) !== '200') failed += 1;
      }
      answer -= chunk.length;
      if (answer === Infinity ? !endsChunks(chunk) : answer > 0) return;
      answer = 0;
      calls += 1;
      if (performance.now() < end) next();
      else finish();
    });
  });
}

/** Bytes of a whole answer, by its head; all of a head comes in one packet here. */
function answerLength(chunk: Buffer): number {
  const headEnd = chunk.indexOf('\r\n\r\n');
  const head = chunk.toString('latin1', 0, headEnd).toLowerCase();
  const length = /\r\ncontent-length: (\d+)/.exec(head)?.[1];
  if (length === undefined && head.includes('\r\ntransfer-encoding: chunked')) return Infinity;
  return headEnd + 4 + Number(length ?? 0);
}

/** The last chunk comes whole here. */
function endsChunks(chunk: Buffer): boolean {
  return chunk.length >= 5 && chunk.toString('latin1', chunk.length - 5) === '0\r\n\r\n';
}
