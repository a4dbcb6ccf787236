import { errorBody, ProxyError } from '../errors.ts';
import type { Sessions } from '../grpc/sessions.ts';
import { clientError } from '../upstream/http1/client-error.ts';
import type { Connections, Incoming, Outgoing, Sending } from '../upstream/http1/connection.ts';
import { BridgeCall } from './bridge-call.ts';
import { metadataOf } from './metadata.ts';
import { translate } from './translate.ts';

/**
 * The connections to an endpoint that speaks gRPC, as calls over HTTP have them: each is sent as the call of tei.v1 that
 * says the same, and its answer comes as TEI's REST would give it. So all that is done with calls over HTTP is done with
 * these. `maxBatch`: inputs that the server takes in one message, as far as that is known.
 */
export function bridgeTo(sessions: Sessions, maxBatch: () => number | undefined): Connections {
  return {
    settings: sessions.settings,
    send: (outgoing, incoming) => {
      try {
        return begin(sessions, outgoing, incoming, maxBatch());
      } catch (error) {
        return refused(error, incoming);
      }
    },
    // Sessions are closed by whoever made them.
    close: () => {},
  };
}

function begin(
  sessions: Sessions,
  { method, path, headers, body }: Outgoing,
  incoming: Incoming,
  maxBatch: number | undefined,
): Sending {
  const whole = Buffer.isBuffer(body) ? body : undefined;
  const { call, basePath } = translate(method, path, whole, maxBatch);
  const bridge = new BridgeCall({ sessions, basePath, call, metadata: metadataOf(headers), maxBatch }, incoming);
  process.nextTick(() => bridge.open());
  return bridge;
}

/** A request that nobody checked before: its instance spoke HTTP when it was let in. */
function refused(error: unknown, incoming: Incoming): Sending {
  let isOver = false;
  process.nextTick(() => {
    if (isOver) return;
    if (!(error instanceof ProxyError)) {
      incoming.onError(clientError('ERR_INVALID_HEADER', 'it cannot be said in gRPC'));
      return;
    }
    const body = errorBody(error.code, error.message, error.param);
    const headers = ['content-type', 'application/json', 'content-length', String(body.length)];
    incoming.onHead(error.status, headers);
    incoming.onData(body);
    incoming.onEnd();
  });
  const abort = (): void => {
    isOver = true;
  };
  return { pause: () => {}, resume: () => {}, abort, answerBegan: false, isReused: false };
}
