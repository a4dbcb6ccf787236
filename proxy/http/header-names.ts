/** A set of header names, compiled so that most names are told apart by a look at two characters and the length. */
export interface HeaderNames {
  readonly exact: ReadonlySet<string>;
  readonly prefixes: readonly string[];
  readonly onlyWithUnderscore: ReadonlySet<string>;
  /** By first letter and length: 1 where a name may be of the set. */
  readonly likely: Uint8Array;
  /** By first and third letter: 1 where one of `prefixes` begins so. */
  readonly likelyPrefix: Uint8Array;
}

/** Longer names share one place. */
const LONGEST = 31;

/**
 * Names are given in lower case with hyphens; each stands for its spellings in upper case and with underscores too, but
 * one of `onlyWithUnderscore` only where it is spelled with one.
 */
export function compileNames(of: {
  names: readonly string[];
  prefixes: readonly string[];
  onlyWithUnderscore: readonly string[];
}): HeaderNames {
  const likely = new Uint8Array(32 * (LONGEST + 1));
  const likelyPrefix = new Uint8Array(32 * 32);
  for (const name of [...of.names, ...of.onlyWithUnderscore]) likely[byLength(name)] = 1;
  for (const prefix of of.prefixes) likelyPrefix[byThird(prefix)] = 1;
  return {
    exact: new Set(of.names),
    prefixes: of.prefixes,
    onlyWithUnderscore: new Set(of.onlyWithUnderscore),
    likely,
    likelyPrefix,
  };
}

export function matches(names: HeaderNames, name: string): boolean {
  if (names.likely[byLength(name)] !== 1 && names.likelyPrefix[byThird(name)] !== 1) return false;
  const plain = normal(name);
  if (names.exact.has(plain) || (names.onlyWithUnderscore.has(plain) && name.includes('_'))) return true;
  for (const prefix of names.prefixes) if (plain.startsWith(prefix)) return true;
  return false;
}

/** Whether a server might take two names for the same: upper case is lower case, and for many `_` is `-`. */
export function sameName(a: string, b: string): boolean {
  return a.length === b.length && normal(a) === normal(b);
}

/** The one spelling of all names that a server might take for the same. */
export function normal(name: string): string {
  const lower = name.toLowerCase();
  return lower.includes('_') ? lower.replaceAll('_', '-') : lower;
}

/** The low five bits of a letter are the same in both cases. */
function byLength(name: string): number {
  return ((name.charCodeAt(0) & 31) << 5) | Math.min(name.length, LONGEST);
}

function byThird(name: string): number {
  return ((name.charCodeAt(0) & 31) << 5) | (name.charCodeAt(2) & 31);
}
