import { echo } from '../errors.ts';
import type { Snapshot } from '../snapshot.ts';
import type { ClientCall } from './client-call.ts';
import { status } from './codes.ts';
import { type HealthStatus, healthFrame, healthListFrame, readService } from './health-message.ts';
import { healthOf, healthOfAll } from './health-of.ts';
import { OK, readOneRequest, UNDECODABLE } from './own-call.ts';

/** grpc.health.v1, answered by what the proxy serves now. Each takes one call. */
export interface HealthService {
  readonly check: (call: ClientCall) => void;
  readonly list: (call: ClientCall) => void;
  /** Says each change within `LOOK_MS`; a client that reads slowly hears the last one only. */
  readonly watch: (call: ClientCall) => void;
}

/** What decides is spread over snapshots, checks and operators' hands: looking is cheaper than being told. */
const LOOK_MS = 100;
/** More cannot be told at once: as grpc.health.v1 has it, such a list is refused. */
const MAX_LISTED = 1_000;

/** The codec is our own: a probe a second should not cost a proxy the memory of a protobuf library. */
export function createHealthService(snapshot: () => Snapshot): HealthService {
  const watches = new Set<Watch>();
  let timer: NodeJS.Timeout | undefined;

  const tell = (watch: Watch): void => {
    const now = healthOf(snapshot(), watch.service) ?? 'SERVICE_UNKNOWN';
    if (watch.isBlocked || now === watch.said) return;
    watch.said = now;
    watch.isBlocked = !watch.call.write(healthFrame(now));
  };
  const look = (): void => {
    for (const watch of watches) {
      if (watch.call.isOver) watches.delete(watch);
      else tell(watch);
    }
    if (watches.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };

  return {
    check: (call) =>
      readAsked(call, (service) => {
        const found = healthOf(snapshot(), service);
        if (found === undefined) call.end(status('NOT_FOUND', `Service ${echo(service)} not found`));
        else call.end(OK, healthFrame(found));
      }),
    list: (call) =>
      readOneRequest(call, () => {
        const all = [...healthOfAll(snapshot())];
        if (all.length > MAX_LISTED) call.end(TOO_MANY);
        else call.end(OK, healthListFrame(all));
      }),
    watch: (call) =>
      readAsked(call, (service) => {
        const watch: Watch = { call, service, said: undefined, isBlocked: false };
        call.onDrain = () => {
          watch.isBlocked = false;
        };
        watches.add(watch);
        tell(watch);
        timer ??= setInterval(look, LOOK_MS).unref();
      }),
  };
}

interface Watch {
  readonly call: ClientCall;
  readonly service: string;
  said: HealthStatus | undefined;
  isBlocked: boolean;
}

function readAsked(call: ClientCall, onAsked: (service: string) => void): void {
  readOneRequest(call, (frame) => {
    const service = readService(frame);
    if (service === undefined) call.end(UNDECODABLE);
    else onAsked(service);
  });
}

const TOO_MANY = status('RESOURCE_EXHAUSTED', `There are more than ${MAX_LISTED} services; check them by name`);
