import { argumentsName, type Flag, type FlagSpec, type ValueTypes, variableOf } from './flag-spec.ts';

const PLACEHOLDERS: Readonly<Record<keyof ValueTypes, string>> = {
  string: ' VALUE',
  list: ' A,B,…',
  boolean: '',
  duration: ' DURATION',
  bytes: ' BYTES',
  address: ' ADDRESS',
  cidrs: ' CIDR,…',
  integer: ' N',
  arguments: '',
};

/** What --help prints. */
export function helpText(program: string, spec: FlagSpec): string {
  const bare = argumentsName(spec);
  const flags = Object.entries(spec).filter(([, flag]) => flag.type !== 'arguments');
  const rows = flags.map(([name, flag]) => [`  --${name}${PLACEHOLDERS[flag.type]}`, describe(flag)]);
  rows.push(['  --help', 'print this'], ['  --version', 'print the version']);
  const width = Math.max(...rows.map(([left = '']) => left.length)) + 2;
  const lines = rows.map(([left = '', right = '']) => left.padEnd(width) + right);
  const usage = `Usage: ${program} [flags]${bare === undefined ? '' : ` ${bare.toUpperCase()}…`}`;
  return [
    usage,
    '',
    ...lines,
    '',
    `Each flag also from the environment, as ${variableOf('log-level')}; flags win.`,
  ].join('\n');
}

function describe(flag: Flag): string {
  const values = flag.values === undefined ? '' : `: ${flag.values.join(', ')}`;
  const fallback = flag.default ?? (flag.type === 'boolean' ? 'false' : 'none');
  return `${flag.description}${values} (default ${fallback === '' ? 'empty' : fallback})`;
}
