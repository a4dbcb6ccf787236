import { helpText } from './flag-help.ts';
import { argumentsName, type Flag, type FlagSpec, type Flags, type ValueTypes, variableOf } from './flag-spec.ts';
import {
  readAddress,
  readBoolean,
  readBytes,
  readCidrs,
  readDuration,
  readInteger,
  readList,
  ValueError,
} from './flag-values.ts';
import { version } from './version.ts';

/** A mistake on the command line or in the environment, as one line for the user. Values are not echoed where they may hold a key. */
export class UsageError extends Error {}

/** --help or --version: the text to print, then exit 0. */
export class TextAsked extends Error {}

/**
 * Reads flags from `argv` (without node and the script), else from SLUICE_… in `env`, else the default.
 * Throws UsageError for what it cannot read, TextAsked for --help and --version.
 */
export function readFlags<const S extends FlagSpec>(
  program: string,
  spec: S,
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Flags<S> {
  const typed = parseArguments(program, spec, argv);
  const values = Object.entries(spec).map(([name, flag]) => {
    if (flag.type === 'arguments') return [camelCase(name), typed.get(name) ?? []];
    const [source, text] = textOf(name, flag, typed, env);
    return [camelCase(name), readValue(program, flag, source, text)];
  });
  return Object.fromEntries(values) as Flags<S>;
}

function camelCase(name: string): string {
  return name.replace(/-([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

/** What was typed, by flag name, each time it was. */
function parseArguments(
  program: string,
  spec: FlagSpec,
  argv: readonly string[],
): ReadonlyMap<string, readonly string[]> {
  const typed = new Map<string, string[]>();
  const bare = argumentsName(spec);
  for (let index = 0; index < argv.length; index++) {
    const argument = argv[index] ?? '';
    if (argument === '--help' || argument === '-h') throw new TextAsked(helpText(program, spec));
    if (argument === '--version') throw new TextAsked(version());
    const [, name, inline] = /^--([^=]+)(?:=(.*))?$/s.exec(argument) ?? [];
    if (name === undefined) {
      if (bare === undefined || argument.startsWith('-'))
        throw new UsageError(`${program}: unexpected ${quoted(argument)}; see --help`);
      append(typed, bare, argument);
      continue;
    }
    const flag = Object.hasOwn(spec, name) ? spec[name] : undefined;
    if (flag === undefined || flag.type === 'arguments')
      throw new UsageError(`${program}: unknown flag --${name.slice(0, 64)}; see --help`);
    const value = inline ?? (flag.type === 'boolean' ? 'true' : argv[++index]);
    if (value === undefined || (inline === undefined && value.startsWith('--')))
      throw new UsageError(`${program}: --${name} needs a value`);
    append(typed, name, value);
  }
  return typed;
}

function append(typed: Map<string, string[]>, name: string, value: string): void {
  typed.set(name, [...(typed.get(name) ?? []), value]);
}

/** A list typed twice is one list; of any other flag the last counts. */
function textOf(
  name: string,
  flag: Flag,
  typed: ReadonlyMap<string, readonly string[]>,
  env: Readonly<Record<string, string | undefined>>,
): [source: string, text: string | undefined] {
  const texts = typed.get(name);
  const isList = flag.type === 'list' || flag.type === 'cidrs';
  if (texts !== undefined) return [`--${name}`, isList ? texts.join(',') : texts.at(-1)];
  const variable = variableOf(name);
  if (env[variable] !== undefined) return [variable, env[variable]];
  return [`--${name}`, flag.default];
}

function readValue(program: string, flag: Flag, source: string, text: string | undefined): unknown {
  try {
    return flag.type === 'arguments' ? [] : READERS[flag.type](text, flag);
  } catch (error) {
    if (!(error instanceof ValueError)) throw error;
    throw new UsageError(`${program}: ${source}: ${quoted(text ?? '')} ${error.message}`);
  }
}

const optional = (read: (text: string) => unknown) => (text: string | undefined) =>
  text === undefined ? undefined : read(text);

const READERS: Readonly<
  Record<Exclude<keyof ValueTypes, 'arguments'>, (text: string | undefined, flag: Flag) => unknown>
> = {
  string: (text, flag) => {
    if (text === undefined || flag.values === undefined || flag.values.includes(text)) return text;
    throw new ValueError(`is none of ${flag.values.join(', ')}`);
  },
  list: (text = '') => readList(text),
  boolean: (text = '') => readBoolean(text),
  cidrs: (text = '') => readCidrs(text),
  duration: optional(readDuration),
  bytes: optional(readBytes),
  address: optional(readAddress),
  integer: optional(readInteger),
};

function quoted(text: string): string {
  return JSON.stringify(text.length > 64 ? `${text.slice(0, 64)}…` : text);
}
