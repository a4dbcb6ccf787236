import { COMMON_FLAGS, type FlagSpec, type Flags } from '../program/flag-spec.ts';
import { UsageError } from '../program/flags.ts';
import type { ProxyOptions } from './start.ts';

/** The doors and limits of a proxy, for every program that is one. */
export const DOOR_FLAGS = {
  'http-address': { type: 'address', default: ':8080', description: 'address of the HTTP door' },
  'grpc-address': { type: 'address', default: ':9001', description: 'address of the gRPC door' },
  'admin-address': { type: 'address', default: ':9000', description: 'address of metrics, probes and /config' },
  'max-body-bytes': { type: 'bytes', default: '100MiB', description: 'largest request body, and gRPC message' },
  'max-held-bytes': { type: 'bytes', default: '256MiB', description: 'request bodies held at a time, all together' },
  'max-connection-age': {
    type: 'duration',
    default: '10m',
    description: 'age, ±20 %, at which a client connection ends; 0s: none',
  },
  'drain-timeout': { type: 'duration', default: '300s', description: 'longest wait for open calls on SIGTERM' },
  'tls-cert': { type: 'string', description: 'certificate file of the HTTP and gRPC doors, followed' },
  'tls-key': { type: 'string', description: 'key file of --tls-cert' },
  'allow-upstream': {
    type: 'cidrs',
    description: 'upstream addresses allowed although loopback or link-local',
  },
  'redis-url': { type: 'string', description: 'Redis for limits that are exact over all proxies' },
  ...COMMON_FLAGS,
} as const satisfies FlagSpec;

/** What `startProxy` takes of them. @throws UsageError for a certificate without its key, or the reverse. */
export function doorOptions(
  program: string,
  flags: Flags<typeof DOOR_FLAGS>,
  more: Pick<ProxyOptions, 'log' | 'allowLoopback' | 'apiServer'>,
): ProxyOptions {
  const { tlsCert, tlsKey } = flags;
  if ((tlsCert === undefined) !== (tlsKey === undefined)) {
    throw new UsageError(`${program}: --tls-cert and --tls-key go together`);
  }
  return {
    ...flags,
    maxConnectionAgeMs: flags.maxConnectionAge,
    drainTimeoutMs: flags.drainTimeout,
    tls: tlsCert === undefined || tlsKey === undefined ? undefined : { cert: tlsCert, key: tlsKey },
    ...more,
  };
}
