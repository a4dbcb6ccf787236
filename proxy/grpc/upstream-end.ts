import { type Cause, causeOfGrpcCode } from '../upstream/outcome.ts';
import { nameOf, type Status } from './codes.ts';

/** How a call to one endpoint ended. */
export interface UpstreamEnd extends Status {
  /** What follows from it, for this call and for the endpoint. */
  readonly cause: Cause;
  /** The upstream said so itself. */
  readonly isAnswer: boolean;
  /** The upstream's own, flat, as they may go to the client, `grpc-status` and all; empty where it gave none. */
  readonly trailers: readonly string[];
  /** It may be sent to the same endpoint once more: it was never seen there, or a kept connection died before any answer. */
  readonly isUnseen: boolean;
}

/** An end that is not the upstream's word. */
export function endedBy(cause: Cause, { code, message }: Status, isUnseen = false): UpstreamEnd {
  return { cause, code, message, isAnswer: false, trailers: NONE, isUnseen };
}

/** An upstream's own. */
export function answered({ code, message }: Status, trailers: readonly string[]): UpstreamEnd {
  return { cause: causeOfGrpcCode(nameOf(code)), code, message, isAnswer: true, trailers, isUnseen: false };
}

const NONE: readonly string[] = [];
