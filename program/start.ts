import type { FlagSpec, Flags } from './flag-spec.ts';
import { readFlags, TextAsked, UsageError } from './flags.ts';

/**
 * The flags of this process, from its command line and environment. Prints --help and --version and exits 0; prints a
 * mistake as one line on stderr and exits 2.
 */
export function flagsOrExit<const S extends FlagSpec>(program: string, spec: S): Flags<S> {
  try {
    return readFlags(program, spec, process.argv.slice(2), process.env);
  } catch (error) {
    if (error instanceof TextAsked) {
      process.stdout.write(`${error.message}\n`);
      process.exit(0);
    }
    if (error instanceof UsageError) {
      process.stderr.write(`${error.message}\n`);
      process.exit(2);
    }
    throw error;
  }
}
