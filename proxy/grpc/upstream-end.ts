import type { Outcome } from '../upstream/outcome.ts';
import { CODES, nameOf, type Status } from './codes.ts';

/**
 * `answered`: the upstream said so itself. `connect`: no connection. `lost`: the connection ended under the call.
 * `reset`: the stream alone did. `malformed`: what came is no gRPC. `timeout`, `cancelled`: we ended it.
 */
type EndKind = 'answered' | 'connect' | 'lost' | 'reset' | 'malformed' | 'timeout' | 'cancelled';

/** How a call to one endpoint ended. */
export interface UpstreamEnd extends Status {
  readonly kind: EndKind;
  /** The upstream's own, flat, as they may go to the client, `grpc-status` and all; empty where it gave none. */
  readonly trailers: readonly string[];
  /** It may be sent to the same endpoint once more: it was never seen there, or a kept connection died before any answer. */
  readonly isUnseen: boolean;
}

/** An end that is not the upstream's word. */
export function endedBy(kind: EndKind, { code, message }: Status, isUnseen = false): UpstreamEnd {
  return { kind, code, message, trailers: [], isUnseen };
}

/** Whether another endpoint may do better, as long as no byte of an answer has gone out (CONTRACT §4). */
export function isRetried({ kind, code }: UpstreamEnd): boolean {
  if (kind !== 'answered') return kind !== 'cancelled';
  return code === CODES.UNAVAILABLE || code === CODES.RESOURCE_EXHAUSTED;
}

/** As `sluice_attempts_total` counts it, and as an endpoint is judged by it. */
export function outcomeOf({ kind, code }: UpstreamEnd): Outcome {
  if (kind === 'lost' || kind === 'reset') return 'cut';
  return kind === 'answered' ? (BY_CODE[nameOf(code)] ?? 'client_error') : kind;
}

const BY_CODE: Readonly<Record<string, Outcome>> = {
  OK: 'success',
  RESOURCE_EXHAUSTED: 'rate_limited',
  UNAUTHENTICATED: 'credential',
  PERMISSION_DENIED: 'credential',
  DEADLINE_EXCEEDED: 'timeout',
  UNAVAILABLE: 'server_error',
  INTERNAL: 'server_error',
  UNKNOWN: 'server_error',
  DATA_LOSS: 'server_error',
  CANCELLED: 'server_error',
};
