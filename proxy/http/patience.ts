/** How long a client is waited for, in milliseconds. CONTRACT §3: within 30 s without progress it is cut. */
export interface Patience {
  /** For a head, from its first byte to its end. */
  readonly headMs: number;
  /** How often Node looks for heads that are late. */
  readonly checkMs: number;
  /** For the next byte of a body. */
  readonly bodyMs: number;
  /** For the rest of a body that is only read to be dropped. */
  readonly restMs: number;
}

export const PATIENCE: Patience = { headMs: 25_000, checkMs: 5_000, bodyMs: 25_000, restMs: 5_000 };
