/** What of the process it needs; a test passes its own. */
export interface Signals {
  readonly on: (signal: 'SIGTERM' | 'SIGINT', listener: () => void) => unknown;
  readonly exit: (code: number) => void;
}

const CODES = { SIGTERM: 143, SIGINT: 130 } as const;

/**
 * On SIGTERM or SIGINT: `drain`, then exit 0 (1 where it throws; it logs why itself). A second signal exits at once, with
 * the code a shell gives for that signal.
 */
export function onTermination(drain: () => Promise<void>, signals: Signals = process): void {
  let draining = false;
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    signals.on(signal, () => {
      if (draining) return signals.exit(CODES[signal]);
      draining = true;
      drain().then(
        () => signals.exit(0),
        () => signals.exit(1),
      );
    });
  }
}
