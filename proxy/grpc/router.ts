import type { Overload } from '../admit/overload.ts';
import { count, type ProxySeries } from '../metrics/series.ts';
import type { PoolState } from '../pool.ts';
import type { InstanceGroup } from '../snapshot.ts';
import { type Admitted, admitMessage } from './admit-message.ts';
import type { ClientCall } from './client-call.ts';
import { isStatus, type Status, status } from './codes.ts';
import { findInstance, nextInstance } from './find-instance.ts';
import type { Method } from './methods.ts';
import type { Destination, Router } from './route.ts';
import type { Target } from './target.ts';
import { Way, type WayDeps } from './way.ts';

export interface RouterDeps extends WayDeps {
  readonly overload: Overload;
  readonly series: ProxySeries;
}

/** Routes messages by the snapshot, and lets them in like requests over HTTP: access, limits, queue, slots, retries. */
export function createRouter(deps: RouterDeps): Router {
  const resolve = (
    call: ClientCall,
    method: Method,
    target: Target | undefined,
    messageBytes: number | undefined,
  ): Destination | Status => {
    const { record } = call;
    if (record.messageAt === 0) {
      record.messageAt = deps.now();
      record.target = target;
      const shed = shedUnderOverload(deps);
      if (shed !== undefined) return shed;
    }
    const found = findInstance(deps.snapshot(), target, call.rawHeaders);
    if (isStatus(found)) return found;
    const { state, group } = found;
    if (record.series === undefined) {
      record.pool = state.key;
      record.series = state.series;
    }
    const admitted = admitMessage(call, state, messageBytes, deps);
    if (isStatus(admitted)) return admitted;
    const another = group === undefined ? NO_OTHER : anotherOf(call, group, messageBytes, deps);
    return {
      key: group === undefined ? state.key : `any|${state.key}`,
      timeoutMs: method.kind === 'stream' ? 0 : admitted.pool.timeouts.requestMs,
      open: () => new Way(call, method, admitted, another, deps),
    };
  };
  return { resolve };
}

const NO_OTHER = (): undefined => undefined;

/** Of those that the target means as well: one that lets the message in. */
function anotherOf(
  call: ClientCall,
  group: InstanceGroup,
  messageBytes: number | undefined,
  deps: RouterDeps,
): (asked: readonly PoolState[]) => Admitted | undefined {
  return (asked) => {
    const passed = [...asked];
    for (;;) {
      const state = nextInstance(group, passed, call.rawHeaders);
      if (state === undefined) return undefined;
      const admitted = admitMessage(call, state, messageBytes, deps);
      if (!isStatus(admitted)) return admitted;
      passed.push(state);
    }
  };
}

function shedUnderOverload({ overload, series }: RouterDeps): Status | undefined {
  const reason = overload.reason();
  if (reason === '') return undefined;
  count(series.shed, reason);
  return status('UNAVAILABLE', `The proxy is overloaded (${reason}); try again`);
}
