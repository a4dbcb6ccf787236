import { onTestFinished, vi } from 'vitest';

/** The monotonic clock of this process, which the proxy reads for rests and limits; timers keep their own time. */
export interface Clock {
  /** It is so much later from now on, beside the time that really passes. */
  readonly forward: (ms: number) => void;
}

/** Ends with the test. */
export function movableClock(): Clock {
  const real = performance.now.bind(performance);
  let ahead = 0;
  const spy = vi.spyOn(performance, 'now').mockImplementation(() => real() + ahead);
  onTestFinished(() => spy.mockRestore());
  return {
    forward: (ms) => {
      ahead += ms;
    },
  };
}
