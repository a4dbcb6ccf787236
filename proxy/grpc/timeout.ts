/** Milliseconds of each unit of `grpc-timeout`. */
const UNIT_MS: ReadonlyMap<string, number> = new Map([
  ['H', 3_600_000],
  ['M', 60_000],
  ['S', 1_000],
  ['m', 1],
  ['u', 1e-3],
  ['n', 1e-6],
]);

/** Node's timers hold no more; as a limit it is none. */
const MAX_MS = 2 ** 31 - 1;

/** Of a `grpc-timeout` in milliseconds; undefined where it is none: at most eight digits and a unit. */
export function parseTimeout(value: string): number | undefined {
  const unitMs = UNIT_MS.get(value.at(-1) ?? '');
  if (unitMs === undefined || !DIGITS.test(value)) return undefined;
  return Math.min(MAX_MS, Number(value.slice(0, -1)) * unitMs);
}

const DIGITS = /^\d{1,8}.$/;

/** As `grpc-timeout` is written. Rounded down: the upstream shall not work on what nobody waits for. */
export function formatTimeout(ms: number): string {
  if (ms < 10_000) return `${Math.max(1, Math.floor(ms * 1000))}u`;
  return ms < 90_000_000 ? `${Math.floor(ms)}m` : `${Math.floor(ms / 1000)}S`;
}
