import { nameOf, type Status } from '../grpc/codes.ts';
import type { TeiCall } from './tei-call.ts';

/** An upstream's error as HTTP says it. */
export interface ErrorAnswer {
  readonly status: number;
  readonly body: string;
}

/** By gRPC's code: the status, and what TEI's REST calls it. What is not here says nothing that a client can use: 502. */
const BY_CODE: Readonly<Record<string, readonly [number, string]>> = {
  INVALID_ARGUMENT: [422, 'Validation'],
  OUT_OF_RANGE: [422, 'Validation'],
  FAILED_PRECONDITION: [424, 'Backend'],
  RESOURCE_EXHAUSTED: [429, 'Overloaded'],
  UNAVAILABLE: [503, 'Unhealthy'],
  DEADLINE_EXCEEDED: [504, 'Backend'],
  UNIMPLEMENTED: [501, 'Backend'],
  NOT_FOUND: [404, 'Backend'],
  UNAUTHENTICATED: [401, 'Backend'],
  PERMISSION_DENIED: [403, 'Backend'],
};

const OTHER = [502, 'Backend'] as const;
/** TEI's own words for what its REST answers with 400; its gRPC has one code for both. */
const EMPTY = /^`\w+` cannot be empty$/;

/** In TEI's words, or, for OpenAI's clients, in OpenAI's. */
export function errorAnswer({ code, message }: Status, words: TeiCall['errors']): ErrorAnswer {
  const name = nameOf(code);
  const isEmpty = name === 'INVALID_ARGUMENT' && EMPTY.test(message);
  const [status, type] = isEmpty ? ([400, 'Empty'] as const) : (BY_CODE[name] ?? OTHER);
  const body =
    words === 'tei'
      ? { error: message, error_type: type }
      : { error: { message, type: openAiType(status), param: null, code: name.toLowerCase() } };
  return { status, body: JSON.stringify(body) };
}

function openAiType(status: number): string {
  if (status === 429) return 'rate_limit_error';
  return status >= 500 ? 'server_error' : 'invalid_request_error';
}
