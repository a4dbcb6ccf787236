import { readFileSync } from 'node:fs';
import { expect, expectTypeOf, test } from 'vitest';
import { COMMON_FLAGS, type FlagSpec } from '../../program/flag-spec.ts';
import type { Address } from '../../program/flag-values.ts';
import { readFlags, TextAsked, UsageError } from '../../program/flags.ts';

const SPEC = {
  ...COMMON_FLAGS,
  'http-address': { type: 'address', default: ':8080', description: 'where applications call' },
  'drain-timeout': { type: 'duration', default: '300s', description: 'how long open calls may finish' },
  'max-body-bytes': { type: 'bytes', default: '100MiB', description: 'largest request body' },
  'watch-namespaces': { type: 'list', description: 'namespaces of the CRs' },
  'allow-upstream': { type: 'cidrs', description: 'addresses allowed although loopback' },
  'no-leader-election': { type: 'boolean', description: 'lead at once' },
  'proxy-service': { type: 'string', default: 'sluice-proxy-admin', description: 'Service of the proxies' },
  namespace: { type: 'string', description: 'own namespace' },
  replicas: { type: 'integer', description: 'how many' },
  dir: { type: 'arguments', description: 'folders' },
} as const satisfies FlagSpec;

const read = (argv: string[], env: Record<string, string> = {}) => readFlags('sluice', SPEC, argv, env);

test('without flags each has its default, or is absent or empty', () => {
  expect(read([])).toEqual({
    logLevel: 'info',
    httpAddress: { host: undefined, port: 8080 },
    drainTimeout: 300_000,
    maxBodyBytes: 104_857_600,
    watchNamespaces: [],
    allowUpstream: [],
    noLeaderElection: false,
    proxyService: 'sluice-proxy-admin',
    namespace: undefined,
    replicas: undefined,
    dir: [],
  });
});

test('a flag has the type its spec says', () => {
  const flags = read([]);
  expectTypeOf(flags.httpAddress).toEqualTypeOf<Address>();
  expectTypeOf(flags.drainTimeout).toEqualTypeOf<number>();
  expectTypeOf(flags.namespace).toEqualTypeOf<string | undefined>();
  expectTypeOf(flags.dir).toEqualTypeOf<readonly string[]>();
});

test.each<[string[], object]>([
  [['--http-address', '127.0.0.1:80'], { httpAddress: { host: '127.0.0.1', port: 80 } }],
  [['--http-address=[::1]:0'], { httpAddress: { host: '::1', port: 0 } }],
  [['--drain-timeout=1m30s'], { drainTimeout: 90_000 }],
  [['--drain-timeout', '0s'], { drainTimeout: 0 }],
  [['--max-body-bytes', '1024'], { maxBodyBytes: 1024 }],
  [['--max-body-bytes', '2Gi'], { maxBodyBytes: 2 ** 31 }],
  [['--watch-namespaces', 'a, b', '--watch-namespaces=c'], { watchNamespaces: ['a', 'b', 'c'] }],
  [['--no-leader-election'], { noLeaderElection: true }],
  [['--no-leader-election=false'], { noLeaderElection: false }],
  [['--proxy-service='], { proxyService: '' }],
  [['--namespace', 'a', '--namespace', 'b'], { namespace: 'b' }],
  [['one,1', '--replicas', '3', 'two'], { dir: ['one,1', 'two'], replicas: 3 }],
  [
    ['--allow-upstream=10.0.0.0/8,::1'],
    {
      allowUpstream: [
        { address: '10.0.0.0', prefix: 8, family: 'ipv4' },
        { address: '::1', prefix: 128, family: 'ipv6' },
      ],
    },
  ],
])('%j is read', (argv, expected) => {
  expect(read(argv)).toMatchObject(expected);
});

test('a flag comes from SLUICE_… where it is not typed, and what is typed wins', () => {
  const env = {
    SLUICE_HTTP_ADDRESS: ':1',
    SLUICE_WATCH_NAMESPACES: 'a,b',
    SLUICE_NO_LEADER_ELECTION: 'true',
    SLUICE_DIR: 'x',
  };
  expect(read(['--http-address', ':2'], env)).toMatchObject({
    httpAddress: { port: 2 },
    watchNamespaces: ['a', 'b'],
    noLeaderElection: true,
    dir: [],
  });
});

test.each<[string[], Record<string, string>, string]>([
  [['--nope'], {}, 'sluice: unknown flag --nope; see --help'],
  [['--nope=secret'], {}, 'sluice: unknown flag --nope; see --help'],
  [['--constructor', '1'], {}, 'sluice: unknown flag --constructor; see --help'],
  [['--dir', '1'], {}, 'sluice: unknown flag --dir; see --help'],
  [['-x'], {}, 'sluice: unexpected "-x"; see --help'],
  [['--namespace'], {}, 'sluice: --namespace needs a value'],
  [['--namespace', '--replicas'], {}, 'sluice: --namespace needs a value'],
  [['--drain-timeout', '5'], {}, 'sluice: --drain-timeout: "5" is not a duration, as 250ms, 90s, 1m30s'],
  [['--drain-timeout', '1s-'], {}, 'sluice: --drain-timeout: "1s-" is not a duration, as 250ms, 90s, 1m30s'],
  [['--drain-timeout', ''], {}, 'sluice: --drain-timeout: "" is not a duration, as 250ms, 90s, 1m30s'],
  [
    ['--max-body-bytes=1XB'],
    {},
    'sluice: --max-body-bytes: "1XB" is not a number of bytes, as 1048576, 512KiB, 100MiB, 1GiB',
  ],
  [
    ['--http-address=8080'],
    {},
    'sluice: --http-address: "8080" is not an address, as :8080, 127.0.0.1:8080, [::1]:8080',
  ],
  [
    ['--http-address=:65536'],
    {},
    'sluice: --http-address: ":65536" is not an address, as :8080, 127.0.0.1:8080, [::1]:8080',
  ],
  [
    ['--http-address=[x]:1'],
    {},
    'sluice: --http-address: "[x]:1" is not an address, as :8080, 127.0.0.1:8080, [::1]:8080',
  ],
  [
    ['--allow-upstream=10.0.0.0/33'],
    {},
    'sluice: --allow-upstream: "10.0.0.0/33" is not a list of CIDRs, as 10.0.0.0/8,fd00::/8',
  ],
  [
    ['--allow-upstream=host/8'],
    {},
    'sluice: --allow-upstream: "host/8" is not a list of CIDRs, as 10.0.0.0/8,fd00::/8',
  ],
  [['--replicas=-1'], {}, 'sluice: --replicas: "-1" is not a whole number, 0 or more'],
  [['--no-leader-election=maybe'], {}, 'sluice: --no-leader-election: "maybe" is neither true nor false'],
  [['--log-level=loud'], {}, 'sluice: --log-level: "loud" is none of debug, info, warn, error'],
  [[], { SLUICE_DRAIN_TIMEOUT: 'x' }, 'sluice: SLUICE_DRAIN_TIMEOUT: "x" is not a duration, as 250ms, 90s, 1m30s'],
])('%j with %j is refused in one line', (argv, env, line) => {
  expect(() => read(argv, env)).toThrow(new UsageError(line));
});

test('a program that takes no arguments refuses one', () => {
  expect(() => readFlags('p', COMMON_FLAGS, ['folder'], {})).toThrow('p: unexpected "folder"; see --help');
});

test('a long value is cut in the message', () => {
  expect(() => read(['--replicas', 'x'.repeat(5000)])).toThrow(/^.{0,200}$/);
});

test('--help names every flag with its default', () => {
  let text = '';
  try {
    read(['--help']);
  } catch (error) {
    if (error instanceof TextAsked) text = error.message;
  }
  for (const name of Object.keys(SPEC).filter((name) => name !== 'dir')) expect(text).toContain(`--${name}`);
  expect(text).toContain('Usage: sluice [flags] DIR…');
  expect(text).toMatch(/--drain-timeout DURATION +how long open calls may finish \(default 300s\)/);
});

test('--version gives what package.json says', () => {
  const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
  expect(() => read(['--version'])).toThrow(new TextAsked(version));
});
