import type { Endpoint, EndpointState, HealthCheck, PoolState } from '../pool.ts';
import type { Check } from './health-check.ts';
import { endRest, keepOne } from './rest.ts';

/** What checks need of the world. */
export interface HealthCheckDeps {
  readonly check: Check;
  /** Monotonic, in milliseconds. */
  readonly now: () => number;
  readonly random: () => number;
  /** Lets those that wait in the pool look again: an endpoint came back, or is not to be waited for. */
  readonly wake: (state: PoolState) => void;
}

/** Asks the endpoints of pools, again and again, how they are. */
export interface HealthChecks {
  /** After each change of a pool: checks the endpoints that it has now, by the settings that it has now. */
  readonly follow: (state: PoolState) => void;
  readonly stop: () => void;
}

/** One endpoint that is checked. */
interface Watch {
  readonly state: PoolState;
  endpoint: Endpoint;
  settings: HealthCheck;
  timer: NodeJS.Timeout | undefined;
  isChecking: boolean;
  isOver: boolean;
}

/** However short an interval: a check is a call, and the CR's writer does not pay for it. */
const LEAST_PAUSE_MS = 100;
/** First checks of all endpoints are spread so that no more than about so many a second begin. */
const FIRST_CHECKS_PER_SECOND = 500;
const LEAST_SPREAD_MS = 1_000;
/** CONTRACT §4: an unhealthy endpoint of a gRPC instance is probed so often. */
const GRPC_PROBE_MS = 1_000;

export function createHealthChecks({ check, now, random, wake }: HealthCheckDeps): HealthChecks {
  const watches = new Map<PoolState, Map<EndpointState, Watch>>();
  let followed = 0;

  const plan = (watch: Watch, pauseMs: number): void => {
    // Node keeps one list for each length of time: 20,000 endpoints should not make 20,000 of them.
    const step = Math.max(1, Math.round(watch.settings.intervalMs / 100));
    const ms = Math.ceil(pauseMs / step) * step;
    clearTimeout(watch.timer);
    watch.endpoint.state.nextCheckAt = now() + ms;
    watch.timer = setTimeout(run, ms, watch);
    watch.timer.unref();
  };

  const planFirst = (watch: Watch): void => {
    const spreadMs = Math.max(LEAST_SPREAD_MS, (followed / FIRST_CHECKS_PER_SECOND) * 1000);
    plan(watch, random() * Math.min(watch.settings.intervalMs, spreadMs));
  };

  /** Counted from the beginning of the last check, however long that one took. */
  const planNext = (watch: Watch, startedAt: number): void => {
    const { intervalMs } = watch.settings;
    const isProbed = !watch.endpoint.state.isHealthy && watch.state.current?.instance?.protocol === 'GRPC';
    const pauseMs = (isProbed ? Math.min(intervalMs, GRPC_PROBE_MS) : intervalMs) * (0.9 + 0.2 * random());
    plan(watch, Math.max(LEAST_PAUSE_MS, startedAt + pauseMs - now()));
  };

  const run = (watch: Watch): void => {
    const { endpoint, settings, state } = watch;
    const { current: pool } = state;
    if (pool === undefined) return;
    const startedAt = now();
    const { path, timeoutMs, intervalMs } = settings;
    watch.isChecking = true;
    const end = (isWell: boolean): void => {
      watch.isChecking = false;
      if (watch.isOver) return;
      note(watch, isWell);
      planNext(watch, startedAt);
    };
    check(endpoint, path, timeoutMs === 0 ? intervalMs : timeoutMs, pool).then(end, () => end(false));
  };

  const note = ({ endpoint, settings, state: poolState }: Watch, isWell: boolean): void => {
    const { state } = endpoint;
    const wasHealthy = state.isHealthy;
    state.contraryChecks = isWell === wasHealthy ? 0 : state.contraryChecks + 1;
    const threshold = wasHealthy ? settings.unhealthyThreshold : settings.healthyThreshold;
    if (state.contraryChecks >= threshold) {
      state.isHealthy = isWell;
      state.contraryChecks = 0;
      state.recoveredAt = isWell ? now() : 0;
    }
    // A rest after a 429 is for want of capacity, of which a check that passes says nothing.
    const restEnds = isWell && state.isHealthy && state.restUntil !== 0 && state.restReason === 'failures';
    if (restEnds) endRest(state);
    if (!restEnds && state.isHealthy === wasHealthy) return;
    if (poolState.current !== undefined) keepOne(poolState.current, now());
    wake(poolState);
  };

  const add = (state: PoolState, endpoint: Endpoint, settings: HealthCheck): Watch => {
    const watch: Watch = { state, endpoint, settings, timer: undefined, isChecking: false, isOver: false };
    followed += 1;
    planFirst(watch);
    return watch;
  };

  const change = (watch: Watch, endpoint: Endpoint, settings: HealthCheck): Watch => {
    const isOtherInterval = watch.settings.intervalMs !== settings.intervalMs;
    watch.endpoint = endpoint;
    watch.settings = settings;
    if (isOtherInterval && !watch.isChecking) planFirst(watch);
    return watch;
  };

  /** Nobody says any more how it is: until calls do, it counts as well. */
  const drop = (watch: Watch): void => {
    watch.isOver = true;
    clearTimeout(watch.timer);
    followed -= 1;
    const { state } = watch.endpoint;
    state.isHealthy = true;
    state.contraryChecks = 0;
  };

  const follow = (state: PoolState): void => {
    const before = watches.get(state);
    const after = new Map<EndpointState, Watch>();
    const settings = state.current?.healthCheck;
    if (settings !== undefined) {
      for (const endpoint of endpointsOf(state)) {
        const known = after.get(endpoint.state) ?? before?.get(endpoint.state);
        after.set(endpoint.state, known ? change(known, endpoint, settings) : add(state, endpoint, settings));
      }
    }
    for (const [endpointState, watch] of before ?? []) if (!after.has(endpointState)) drop(watch);
    if (after.size > 0) watches.set(state, after);
    else watches.delete(state);
  };

  const stop = (): void => {
    for (const ofPool of watches.values()) for (const watch of ofPool.values()) drop(watch);
    watches.clear();
  };

  return { follow, stop };
}

/** Drained ones too: they may be given weight again. */
function endpointsOf({ current }: PoolState): Endpoint[] {
  return current?.tiers.flatMap(({ backends }) => backends.flatMap(({ endpoints }) => endpoints)) ?? [];
}
