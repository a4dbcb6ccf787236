import type { Address, Cidr } from './flag-values.ts';

/** What a flag of each type gives. */
export interface ValueTypes {
  string: string;
  list: readonly string[];
  boolean: boolean;
  /** Milliseconds. */
  duration: number;
  bytes: number;
  address: Address;
  cidrs: readonly Cidr[];
  integer: number;
  /** What stands on the command line without a flag, as folders; never from the environment. */
  arguments: readonly string[];
}

export interface Flag {
  readonly type: keyof ValueTypes;
  /** As it would be typed; --help shows it. Without one: absent, or empty (list, cidrs, arguments), or false. */
  readonly default?: string;
  readonly description: string;
  /** The only values it may have (string). */
  readonly values?: readonly string[];
}

/** Flag name, as typed but without the dashes, to what it is. */
export type FlagSpec = Readonly<Record<string, Flag>>;

type CamelCase<S extends string> = S extends `${infer Head}-${infer Tail}`
  ? `${Head}${Capitalize<CamelCase<Tail>>}`
  : S;
type Sure = 'list' | 'boolean' | 'cidrs' | 'arguments';
type Value<F extends Flag> = F extends { readonly default: string } | { readonly type: Sure }
  ? ValueTypes[F['type']]
  : ValueTypes[F['type']] | undefined;

/** The values by camelCase name. */
export type Flags<S extends FlagSpec> = { readonly [Name in keyof S & string as CamelCase<Name>]: Value<S[Name]> };

/** What every program has. */
export const COMMON_FLAGS = {
  'log-level': {
    type: 'string',
    default: 'info',
    values: ['debug', 'info', 'warn', 'error'],
    description: 'least level of a log line',
  },
} as const satisfies FlagSpec;

/** The variable of a flag: `http-address` is SLUICE_HTTP_ADDRESS. */
export function variableOf(name: string): string {
  return `SLUICE_${name.replaceAll('-', '_').toUpperCase()}`;
}

/** The name under which arguments without a flag are taken, where they are. */
export function argumentsName(spec: FlagSpec): string | undefined {
  return Object.keys(spec).find((name) => spec[name]?.type === 'arguments');
}
