import { echo } from '../errors.ts';
import { faultOfHops } from '../http/hops.ts';
import { ClientCall, type Holds } from './client-call.ts';
import { type Status, status } from './codes.ts';
import { forwardOnManyLanes } from './many-lanes.ts';
import { hopsSoFar } from './metadata.ts';
import { METHOD_BY_PATH, type Method } from './methods.ts';
import { forwardOnOneLane } from './one-lane.ts';
import type { Router } from './route.ts';
import type { OnStream } from './server.ts';

export interface HandleDeps extends Pick<Holds, 'held'> {
  readonly limits: Pick<Holds, 'maxHeldBytes'>;
  readonly router: Router;
  /** Of one message. */
  readonly maxMessageBytes: number;
  /** Takes a call of a method that is none of ours (health, reflection), which is not counted; false: it is nobody's. */
  readonly other: (call: ClientCall) => boolean;
  /** Each other call once, when it has ended; `method` undefined where there is none of that name. */
  readonly onOver: (call: ClientCall, method: Method | undefined, end: Status) => void;
}

/** Takes each stream of the door: finds its method and forwards it. */
export function createHandler({ router, maxMessageBytes, other, onOver, held, limits }: HandleDeps): OnStream {
  const holds = { held, maxHeldBytes: limits.maxHeldBytes };
  return (stream, headers, _flags, rawHeaders) => {
    if (headers[':method'] !== 'POST' || !String(headers['content-type']).startsWith('application/grpc')) {
      stream.respond({ ':status': headers[':method'] === 'POST' ? 415 : 405 }, { endStream: true });
      stream.resume();
      return;
    }
    const path = String(headers[':path']);
    const method = METHOD_BY_PATH.get(path);
    const call = new ClientCall(stream, path, rawHeaders, holds);
    if (method === undefined && other(call)) return;
    call.onOver = (end) => onOver(call, method, end);
    call.start();
    if (call.isOver) return;
    const loop = faultOfHops(hopsSoFar(rawHeaders));
    if (loop !== undefined) call.end(status('INVALID_ARGUMENT', loop.message));
    else if (method === undefined) call.end(status('UNIMPLEMENTED', `The method ${echo(path)} is unknown`));
    else if (method.isWrapped && method.kind === 'stream') forwardOnManyLanes(call, method, router, maxMessageBytes);
    else forwardOnOneLane(call, method, router, maxMessageBytes);
  };
}
