import type { Snapshot } from '../snapshot.ts';
import type { ClientCall } from './client-call.ts';
import { status } from './codes.ts';
import { createHealthService } from './health-service.ts';
import type { Services } from './reflection-service.ts';

/** What the proxy answers itself, without a key: grpc.health.v1 and server reflection. */
export interface OwnServices {
  /** Takes a call of theirs; false: it is none. */
  readonly take: (call: ClientCall) => boolean;
  /** Ends what its clients would hold open for ever; takes nothing of that kind any more. */
  readonly close: () => void;
}

export interface OwnServicesDeps {
  readonly snapshot: () => Snapshot;
  /** Reflection could not be loaded. */
  readonly logError: (error: unknown) => void;
}

/** Of Watch and reflection, over all connections. */
const MAX_HELD = 4_096;

const HEALTH = '/grpc.health.v1.Health';
const REFLECTION = [
  '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
  '/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo',
];

export function createOwnServices({ snapshot, logError }: OwnServicesDeps): OwnServices {
  const { check, list, watch } = createHealthService(snapshot);
  const held = new Set<ClientCall>();
  let isClosed = false;
  let loading: Promise<Services> | undefined;

  const reflect = async (call: ClientCall): Promise<void> => {
    try {
      loading ??= import('./reflection-service.ts').then(({ loadReflection }) => loadReflection());
      const services = await loading;
      if (!call.isOver) services.get(call.path)?.(call);
    } catch (error) {
      loading = undefined;
      logError(error);
      call.end(NOT_LOADED);
    }
  };
  const hold = (serve: (call: ClientCall) => void) => (call: ClientCall) => {
    if (isClosed) call.end(CLOSED);
    else if (held.size >= MAX_HELD) call.end(TOO_MANY);
    else {
      held.add(call);
      call.onOver = () => held.delete(call);
      serve(call);
    }
  };
  const services: Services = new Map([
    [`${HEALTH}/Check`, check],
    [`${HEALTH}/List`, list],
    [`${HEALTH}/Watch`, hold(watch)],
    ...REFLECTION.map((path) => [path, hold((call) => void reflect(call))] as const),
  ]);

  return {
    take: (call) => {
      const serve = services.get(call.path);
      if (serve === undefined) return false;
      call.start();
      if (!call.isOver) serve(call);
      return true;
    },
    close: () => {
      isClosed = true;
      for (const call of held) call.end(CLOSED);
    },
  };
}

const CLOSED = status('UNAVAILABLE', 'The proxy is draining');
const TOO_MANY = status('RESOURCE_EXHAUSTED', `${MAX_HELD} calls of this kind are open already`);
const NOT_LOADED = status('INTERNAL', 'Reflection could not be loaded');
