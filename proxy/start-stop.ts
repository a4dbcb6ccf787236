import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { wake } from './admit/queue.ts';
import { describeInstance } from './describe.ts';
import { echo } from './errors.ts';
import { matchInstance } from './match.ts';
import type { Snapshot } from './snapshot.ts';

/**
 * `POST /instances/{name}/start` and `/stop`: a stopped instance gets no new call until it is started, or this process
 * ends; calls under way go on. Only for who is on this machine. Both may be said twice; both answer with the instance.
 */
export function addStartStop(admin: FastifyInstance, snapshot: () => Snapshot): void {
  const handle = (isStopped: boolean) => async (request: FastifyRequest<Named>, reply: FastifyReply) => {
    if (!isFromHere(request)) {
      reply.code(403);
      return { error: { message: 'Instances are started and stopped from the same machine only' } };
    }
    const { name } = request.params;
    const state = matchInstance(snapshot(), name);
    if (state === undefined) {
      reply.code(404);
      return { error: { message: `There is no instance ${echo(name)}` } };
    }
    state.isStopped = isStopped;
    // Those that wait are refused now, or served.
    wake(state.queue);
    return describeInstance(state)[0];
  };
  admin.post('/instances/:name/start', handle(false));
  admin.post('/instances/:name/stop', handle(true));
}

interface Named {
  Params: { name: string };
}

/** A browser is on this machine too, and says for which page it asks. */
function isFromHere({ raw, headers }: FastifyRequest<Named>): boolean {
  return LOOPBACK.test(raw.socket.remoteAddress ?? '') && headers.origin === undefined;
}

const LOOPBACK = /^(::ffff:)?127\.|^::1$/;
