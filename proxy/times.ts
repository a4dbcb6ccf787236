/** The proxy's own clocks, in milliseconds; a test makes them quick. */
export interface Times {
  /** For a head, from its first byte to its end. CONTRACT §3: a client is cut within 30 s without progress. */
  readonly headMs: number;
  /** How often Node looks for heads that are late. */
  readonly headCheckMs: number;
  /** For the next byte of a body. */
  readonly bodyMs: number;
  /** For the rest of a body that is only read to be dropped. */
  readonly restMs: number;
  /** Between empty lines on `/config?watch=true`, so that a listener can tell a quiet proxy from a lost one. */
  readonly heartbeatMs: number;
  /** Between two looks at the certificate: a mounted Secret changes by a link swap that a watch on the file misses. */
  readonly tlsPollMs: number;
}

export const TIMES: Times = {
  headMs: 25_000,
  headCheckMs: 5_000,
  bodyMs: 25_000,
  restMs: 5_000,
  heartbeatMs: 10_000,
  tlsPollMs: 5_000,
};
