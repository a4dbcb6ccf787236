import type { Endpoint } from '../pool.ts';
import type { Check } from '../upstream/health-check.ts';
import { verdictOf } from '../upstream/outcome.ts';
import { CODES } from './codes.ts';
import { createFrameReader, frameOf, readFrames } from './frames.ts';
import { readHealth } from './health-message.ts';
import { formatTimeout } from './timeout.ts';
import { UpstreamCall } from './upstream-call.ts';
import type { UpstreamEnd } from './upstream-end.ts';
import { upstreamHead } from './upstream-head.ts';

/** A health answer has two bytes; an Info a few hundred. */
const MAX_ANSWER_BYTES = 64 * 1024;

/**
 * A check by grpc.health.v1 of the server as a whole, else by tei.v1.Info where it has no such service. Its single
 * services are not asked: TEI calls one NOT_SERVING from a failed batch until the next good one, which never comes to an
 * endpoint without calls. Any status that does not speak against the server means well, such as a key it does not like.
 */
export function createGrpcCheck(version: string): Check {
  const own = ['user-agent', `sluice-health/${version}`, 'content-type', 'application/grpc', 'te', 'trailers'];
  return async (endpoint, _path, timeoutMs) => {
    const endsAt = performance.now() + timeoutMs;
    const ask = async (path: string): Promise<Answer> => {
      const answer = await askOnce(endpoint, path, own, endsAt - performance.now());
      // A kept connection that had ended unnoticed says nothing of the server.
      return answer.end?.isUnseen === true ? askOnce(endpoint, path, own, endsAt - performance.now()) : answer;
    };
    const { end, message } = await ask('/grpc.health.v1.Health/Check');
    if (end?.code === CODES.OK) return message !== undefined && readHealth(message) === 'SERVING';
    if (end?.code !== CODES.UNIMPLEMENTED) return isWell(end);
    return isWell((await ask('/tei.v1.Info/Info')).end);
  };
}

interface Answer {
  /** Undefined: it did not come in time. */
  readonly end: UpstreamEnd | undefined;
  readonly message: Buffer | undefined;
}

function isWell(end: UpstreamEnd | undefined): boolean {
  if (end === undefined) return false;
  const verdict = verdictOf(end.cause);
  return verdict === 'alive' || verdict === 'limit';
}

/** A unary call with an empty message, in at most `ms`. */
function askOnce(
  { backend, basePath, state }: Endpoint,
  path: string,
  own: readonly string[],
  ms: number,
): Promise<Answer> {
  const { sessions } = state;
  if (sessions === undefined || ms <= 0) return Promise.resolve(NOTHING);
  return new Promise((resolve) => {
    const reader = createFrameReader(MAX_ANSWER_BYTES);
    let message: Buffer | undefined;
    const finish = (end: UpstreamEnd | undefined): void => {
      clearTimeout(timer);
      resolve({ end, message });
    };
    const stop = (): void => {
      call.cancel();
      finish(undefined);
    };
    const metadata = [...own, 'grpc-timeout', formatTimeout(ms)];
    const call = new UpstreamCall(sessions, upstreamHead(sessions, basePath + path, metadata, backend.headers), {
      onOpen: () => call.finish(frameOf()),
      onHead: ignore,
      onData: (chunk) => {
        const fault = readFrames(reader, chunk, (frame) => {
          message = frame;
        });
        if (fault !== undefined) stop();
      },
      onDrain: ignore,
      onEnd: finish,
    });
    const timer = setTimeout(stop, ms);
    timer.unref();
    call.open();
  });
}

const NOTHING: Answer = { end: undefined, message: undefined };

function ignore(): void {}
