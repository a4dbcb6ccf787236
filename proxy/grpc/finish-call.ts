import { refund, settle } from '../admit/limits.ts';
import { count, grpcOf, observe, observeMethod, type ProxySeries } from '../metrics/series.ts';
import { callLine } from './call-line.ts';
import type { ClientCall } from './client-call.ts';
import { nameOf, type Status } from './codes.ts';
import type { Method } from './methods.ts';

export interface FinishDeps {
  /** Monotonic, in milliseconds. */
  readonly now: () => number;
  readonly nowEpochMs: () => number;
  readonly series: ProxySeries;
  readonly newId: () => string;
  /** Takes an access line, without its newline. */
  readonly logLine: (line: string) => void;
}

/** Once for each call that is over: settles what it took of limits, counts it, logs its line. */
export function finishCall(deps: FinishDeps, call: ClientCall, method: Method | undefined, end: Status): void {
  const { record } = call;
  const { startedAt, firstByteAt } = record;
  const now = deps.now();
  for (const grant of record.grants) {
    if (firstByteAt === 0) refund(grant, now);
    else settle(grant, undefined, now);
  }
  const seconds = (now - startedAt) / 1000;
  const series = record.series ?? deps.series.unknown;
  const grpc = grpcOf(series);
  count(grpc.requests, nameOf(end.code));
  observe(grpc.durationSeconds, seconds);
  if (firstByteAt > 0) observe(series.firstByteSeconds, (firstByteAt - startedAt) / 1000);
  if (record.attempts > 0) observe(deps.series.grpcOverheadSeconds, record.overheadMs / 1000);
  if (method !== undefined) observeMethod(deps.series, method.label, seconds);
  deps.logLine(callLine(call, end, deps.newId, now, deps.nowEpochMs()));
}
