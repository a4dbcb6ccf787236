import { createHash } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { eventually } from '../support/eventually.ts';
import { startLargeAnswers } from './large-answer.ts';
import type { Document, Proxies, UnderLoad } from './proxies.ts';

const ANSWER_BYTES = 100 * 1024 ** 2;
/** Nothing moved for so long: all buffers on the way are full. */
const STILL_MS = 1_500;
const LOOK_MS = 20;

/** How much of an answer a proxy took in while its client read nothing. */
export interface Stall {
  /** At the most, over what was resident before. */
  readonly grownBytes: number;
  /** What the model got rid of while the client read nothing: into the proxy and the sockets' buffers. */
  readonly takenBytes: number;
  /** Once it reads on, the client gets every byte. */
  readonly isWhole: boolean;
}

/**
 * A 100 MB answer to a client that reads its first bytes, then none until everything on the way has come to a halt.
 * On proxies that have passed nothing large before: what they kept of it would hide the growth.
 */
export async function stallReader(
  { publish, proxies }: Proxies,
  contentType: string,
  poolOf: (url: string) => Document,
): Promise<Stall[]> {
  const model = await startLargeAnswers(ANSWER_BYTES, contentType);
  try {
    await publish(poolOf(`${model.url}/v1`));
    const stalls: Stall[] = [];
    for (const proxy of proxies) {
      const { rssBytes } = await proxy.look();
      const sentBefore = model.sentBytes();
      const client = await ask(proxy);
      const mostBytes = await mostWhile(proxy, () => model.sentBytes());
      const takenBytes = model.sentBytes() - sentBefore;
      const { sha256 } = await readAll(client);
      stalls.push({ grownBytes: mostBytes - rssBytes, takenBytes, isWhole: sha256 === model.sha256 });
    }
    return stalls;
  } finally {
    await model.stop();
  }
}

/** A connection that has asked, and whose answer has begun; it reads nothing more. */
async function ask({ port }: UnderLoad): Promise<Socket> {
  const socket = connect(port, '127.0.0.1').on('error', () => undefined);
  const body = '{"model":"large"}';
  socket.write(
    'POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n' +
      `content-length: ${body.length}\r\n\r\n${body}`,
  );
  await new Promise((resolve) => socket.once('readable', resolve));
  return socket;
}

/** The most that was resident until `progress` stands still. */
async function mostWhile(proxy: UnderLoad, progress: () => number): Promise<number> {
  let most = 0;
  let last = { at: performance.now(), bytes: progress() };
  await eventually(
    'all buffers are full',
    () => {
      most = Math.max(most, proxy.rssBytes());
      if (progress() !== last.bytes) last = { at: performance.now(), bytes: progress() };
      return performance.now() - last.at > STILL_MS;
    },
    { intervalMs: LOOK_MS },
  );
  return most;
}

async function readAll(socket: Socket): Promise<{ sha256: string }> {
  const hash = createHash('sha256');
  let head = '';
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    if (head.includes('\r\n\r\n')) {
      hash.update(chunk);
      continue;
    }
    head += chunk.toString('latin1');
    const end = head.indexOf('\r\n\r\n');
    if (end >= 0) hash.update(Buffer.from(head.slice(end + 4), 'latin1'));
  }
  return { sha256: hash.digest('hex') };
}
