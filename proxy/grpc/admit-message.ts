import { authorize, presentedKey } from '../admit/access.ts';
import { admitByLimits, estimateTokens } from '../admit/limits.ts';
import { type AdmitDeps, waitSeconds } from '../admit/seat.ts';
import { ProxyError } from '../errors.ts';
import { statusOf } from '../instance-status.ts';
import type { Pool, PoolState } from '../pool.ts';
import type { Snapshot } from '../snapshot.ts';
import type { ClientCall } from './client-call.ts';
import { type Status, status } from './codes.ts';
import { orStatus, statusOfError } from './refusal.ts';

/** What admission reads of the world. */
export interface MessageDeps extends AdmitDeps {
  readonly snapshot: () => Snapshot;
}

/** A message that may go to an instance. */
export interface Admitted {
  readonly state: PoolState;
  readonly pool: Pool;
  /** Whose call it is, for fair turns; empty: nobody said, or it does not matter. */
  readonly client: string;
}

/**
 * Whether a message may go to an instance now: its caller may use it, it runs, and no limit is reached; then the limits
 * are charged with `messageBytes` (undefined: there is no message yet, and nothing to charge).
 */
export function admitMessage(
  call: ClientCall,
  state: PoolState,
  messageBytes: number | undefined,
  deps: MessageDeps,
): Admitted | Status {
  const pool = state.current;
  if (pool?.instance === undefined) return status('NOT_FOUND', 'The instance is gone');
  const client = pool.tellsClientsApart ? clientOf(call, state, pool, deps) : '';
  if (typeof client !== 'string') return client;
  const refusal = refusalOf(state, pool);
  if (refusal !== undefined) return refusal;
  const admitted = { state, pool, client };
  if (messageBytes === undefined || pool.limits === undefined) return admitted;
  const grant = admitByLimits(state.limits, pool.limits, client, estimateTokens(messageBytes, undefined), deps);
  if (grant instanceof ProxyError) return statusOfError(grant);
  // Once an answer has gone out, the reservation stands: nothing in an answer says what it cost.
  if (grant.reserved.length > 0 && call.record.firstByteAt === 0) call.record.grants.push(grant);
  return admitted;
}

/** As people know it: by its own name where it has it. */
export function shownName({ instance, models, key }: Pool): string {
  return models.length > 0 && instance !== undefined ? instance.instanceName : key;
}

function clientOf(call: ClientCall, state: PoolState, pool: Pool, deps: MessageDeps): string | Status {
  return orStatus(() => authorize(pool, presentedKey(call.rawHeaders), deps.snapshot(), () => waitSeconds(state)));
}

function refusalOf(state: PoolState, pool: Pool): Status | undefined {
  const name = shownName(pool);
  if (pool.instance?.protocol !== 'GRPC') {
    return status('UNIMPLEMENTED', `Instance '${name}' speaks HTTP; call it on the HTTP port`);
  }
  const is = statusOf(state);
  return is === 'running' ? undefined : status('UNAVAILABLE', `Instance '${name}' is not running (status: ${is})`);
}
