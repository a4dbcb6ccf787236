/** gRPC's status codes. */
export const CODES = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;

const NAMES = Object.keys(CODES);

/** `UNAVAILABLE` for 14; what is no code of gRPC's is `UNKNOWN`. */
export function nameOf(code: number): string {
  return NAMES[code] ?? 'UNKNOWN';
}

/** How a call ended, or why it cannot begin. */
export interface Status {
  readonly code: number;
  /** For the client: no key, no body. */
  readonly message: string;
}

export function status(code: keyof typeof CODES, message: string): Status {
  return { code: CODES[code], message };
}

/** Tells a refusal from what it stands in for. */
export function isStatus(value: object): value is Status {
  return 'code' in value;
}
