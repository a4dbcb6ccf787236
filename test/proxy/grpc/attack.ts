import { type ClientHttp2Session, type ClientHttp2Stream, connect, type OutgoingHttpHeaders } from 'node:http2';
import { onTestFinished } from 'vitest';
import { frameOf } from '../../../proxy/grpc/frames.ts';
import { eventually } from '../../support/eventually.ts';
import type { FakeTei } from '../../support/fake-tei.ts';
import { type Door, openDoor } from '../http/door.ts';
import { seriesOf } from '../http/door-series.ts';
import { embed, grpcOf, named, tei, teis } from './instances.ts';

/** A real door with the instance a. */
export interface Served {
  readonly door: Door;
  readonly fake: FakeTei;
}

export async function served(options: Parameters<typeof openDoor>[0] = {}): Promise<Served> {
  const [fake] = await teis('a');
  const door = await openDoor(options);
  await door.put(tei('a', fake.origin));
  return { door, fake };
}

/** The same, used by somebody else all the while. */
export interface Attacked extends Served {
  /**
   * Resolves when the other was served so many times more, on a stream that stays open and by calls of its own, of
   * which none ever failed, and when nobody holds a slot that nobody uses.
   */
  readonly livesOn: (more?: number) => Promise<void>;
}

export async function attacked(options: Parameters<typeof openDoor>[0] = {}): Promise<Attacked> {
  const scene = await served(options);
  const { door } = scene;
  const grpc = grpcOf(door);
  const bind = grpc.raw['PredictStream']?.bind(grpc.raw) as unknown as () => Conversation;
  const conversation = bind();
  let answers = 0;
  let rounds = 0;
  let fault: unknown;
  let isOver = false;
  onTestFinished(() => {
    isOver = true;
    conversation.cancel();
  });
  conversation.on('data', () => {
    answers += 1;
  });
  conversation.on('error', (error) => {
    fault ??= isOver ? undefined : error;
  });
  const round = async (): Promise<void> => {
    const before = answers;
    conversation.write(embed(named('a')));
    const { code, details } = await grpc.unary('Embed', embed(named('a')));
    if (code !== 0) throw new Error(`${code}: ${details}`);
    await eventually('the stream answers', () => answers > before || fault !== undefined, { intervalMs: 1 });
    if (fault !== undefined) throw fault;
    rounds += 1;
  };
  const go = async (): Promise<void> => {
    while (!isOver) {
      await round();
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  };
  go().catch((error) => {
    fault ??= isOver ? undefined : error;
  });
  const livesOn = async (more = 5): Promise<void> => {
    const before = rounds;
    await eventually('the other is served', () => rounds >= before + more || fault !== undefined);
    if (fault !== undefined) throw new Error('the other was not served', { cause: fault });
    // The stream of the other, and what it may be calling just now.
    await eventually('no slot is held', async () => (await inFlight(door)) <= 2);
  };
  await livesOn(1);
  return { ...scene, livesOn };
}

interface Conversation {
  readonly on: (event: string, listener: (arg: unknown) => void) => void;
  readonly write: (message: object) => void;
  readonly cancel: () => void;
}

async function inFlight(door: Door): Promise<number> {
  return (await seriesOf(door, 'sluice_in_flight_requests', { pool: 'ml/a' })) ?? 0;
}

/** An attacker of its own accord heeds no limit. */
const OPTIONS = { peerMaxConcurrentStreams: 100_000, maxSessionMemory: 10_000 };

/** A connection that an attacker drives; it ends with the test. */
export function attacker({ door }: Served): ClientHttp2Session {
  const session = connect(`http://127.0.0.1:${door.grpcPort}`, OPTIONS);
  session.on('error', () => undefined);
  onTestFinished(() => session.destroy());
  return session;
}

export const MULTIPLEXER = '/tei_multiplexer.v1.TeiMultiplexer';

export function open(session: ClientHttp2Session, path: string, headers: OutgoingHttpHeaders = {}): ClientHttp2Stream {
  const stream = session.request({
    ...{ ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers' },
    ...headers,
  });
  stream.on('error', () => undefined);
  return stream;
}

/** `grpc-status`, or how it ended without one. */
export function endOf(stream: ClientHttp2Stream): Promise<string> {
  return new Promise((resolve) => {
    stream.on('response', (head) => {
      if (head['grpc-status'] !== undefined) resolve(String(head['grpc-status']));
      else if (head[':status'] !== 200) resolve(`HTTP ${head[':status']}`);
    });
    stream.on('trailers', (trailers) => resolve(String(trailers['grpc-status'])));
    stream.on('close', () => resolve(`reset ${stream.rstCode}`));
    stream.resume();
  });
}

/** A message for instance a, as any method of the multiplexer reads it: `{inputs}` or `{query}`. */
export function wrapped(text = 'x'): Buffer {
  const inner = Buffer.concat([Buffer.from([0x0a]), lengthOf(text), Buffer.from(text)]);
  return frameOf(Buffer.from('\n\x03\n\x01a\x12'), lengthOf(inner), inner);
}

function lengthOf(bytes: Buffer | string): Buffer {
  const head: number[] = [];
  let rest = Buffer.byteLength(bytes);
  for (; rest > 0x7f; rest >>>= 7) head.push((rest & 0x7f) | 0x80);
  return Buffer.from([...head, rest]);
}
