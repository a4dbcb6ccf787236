import { randomBytes, randomFillSync, randomUUID } from 'node:crypto';
import type { Server } from 'node:http';
import type { AddressInfo, Server as NetServer } from 'node:net';
import type { Server as TlsServer } from 'node:tls';
import { getHeapStatistics } from 'node:v8';
import type { Address, Cidr } from '../program/flag-values.ts';
import type { ProgramLog } from '../program/log.ts';
import { version } from '../program/version.ts';
import { createAdmin } from './admin.ts';
import { createOverload, OVERLOAD, type OverloadLimits } from './admit/overload.ts';
import { wake } from './admit/queue.ts';
import { createDocuments, type Documents } from './config/documents.ts';
import { createUpstreamRules } from './config/upstream-address.ts';
import { createGrpcCheck } from './grpc/check-instance.ts';
import { createGrpcDoor } from './grpc/door.ts';
import { createOwnServices } from './grpc/own-services.ts';
import { limitConnectionAge } from './http/connection-age.ts';
import { createDrain } from './http/drain.ts';
import { type HttpDeps, handle } from './http/handle.ts';
import { createHttpServer, type TlsPair } from './http/server.ts';
import { createTraceparents } from './http/trace.ts';
import { createRegistry } from './metrics/registry.ts';
import { createProxySeries } from './metrics/series.ts';
import { createShares } from './shares.ts';
import { createSnapshots } from './snapshot.ts';
import { TIMES, type Times } from './times.ts';
import { followTls, readTls, type TlsFiles } from './tls.ts';
import { guardedLookup } from './upstream/guarded-lookup.ts';
import { createHttpCheck } from './upstream/health-check.ts';
import { createHealthChecks } from './upstream/health-checks.ts';
import { keepOne } from './upstream/rest.ts';

export interface ProxyOptions {
  readonly httpAddress: Address;
  readonly grpcAddress: Address;
  readonly adminAddress: Address;
  readonly maxBodyBytes: number;
  readonly maxHeldBytes: number;
  readonly maxConnectionAgeMs: number;
  readonly drainTimeoutMs: number;
  readonly times?: Partial<Times>;
  readonly overload?: Partial<OverloadLimits>;
  readonly tls?: TlsFiles | undefined;
  /** Upstream addresses allowed although loopback or link-local. */
  readonly allowUpstream: readonly Cidr[];
  /** Standalone: the models run beside it. */
  readonly allowLoopback: boolean;
  /** Standalone: instances can be started and stopped on the admin door. */
  readonly startsAndStops?: boolean;
  /** Names and addresses of the API server, which no pool may call. */
  readonly apiServer: readonly string[];
  readonly log: ProgramLog;
}

/** A proxy that listens; it serves what is put into `documents`. */
export interface RunningProxy {
  readonly documents: Documents;
  readonly httpPort: number;
  readonly grpcPort: number;
  readonly adminPort: number;
  /** Refuses new work, lets open calls finish for at most `drainTimeoutMs`, then ends. */
  readonly drain: () => Promise<void>;
}

export async function startProxy(options: ProxyOptions): Promise<RunningProxy> {
  const { log } = options;
  const series = createProxySeries();
  const refuseHost = createUpstreamRules({ ...options, allow: options.allowUpstream });
  const lookup = guardedLookup(refuseHost);
  const proxyId = randomUUID();
  const shares = createShares(proxyId);
  const world = { now: () => performance.now(), random: Math.random, shareOf: shares.of };
  const [checkHttp, checkGrpc] = [createHttpCheck(version()), createGrpcCheck(version())];
  const checks = createHealthChecks({
    ...world,
    check: (endpoint, path, timeoutMs, pool) =>
      (pool.instance?.protocol === 'GRPC' ? checkGrpc : checkHttp)(endpoint, path, timeoutMs, pool),
    wake: (state) => wake(state.queue),
  });
  const snapshots = createSnapshots({ random: Math.random, lookup, refuseHost }, (state) => {
    checks.follow(state);
    if (state.current !== undefined) keepOne(state.current, world.now());
    wake(state.queue);
  });
  const documents = createDocuments({ apply: snapshots.load, changed: snapshots.publish, log });
  documents.watchProxies((ids) => {
    shares.update(ids);
    // A share may have grown.
    for (const state of snapshots.current().states.values()) wake(state.queue);
  });
  let draining = false;

  const tls = options.tls === undefined ? undefined : await readTls(options.tls);
  const times = { ...TIMES, ...options.times };
  const server = createHttpServer((req, res) => handle(deps, req, res), times, tls);
  const drainHttp = createDrain(server);
  const tooOld = limitConnectionAge(server, options.maxConnectionAgeMs, Math.random);
  const overload = createOverload({ ...OVERLOAD, ...options.overload, now: world.now, ...heap() });
  const deps: HttpDeps = {
    ...{ ...world, nowEpochMs: Date.now, overload },
    snapshot: snapshots.current,
    limits: { ...options, times },
    held: { total: 0, meanSeconds: 1, shed: series.shed },
    series,
    newId: requestIds(randomBytes(8).toString('hex')),
    newTraceparent: createTraceparents(randomFillSync),
    closes: (req) => draining || tooOld(req),
    logLine: log.line,
    logError: (error, requestId) => log.error({ err: error, id: requestId }, 'a request failed in an unforeseen way'),
  };
  const own = createOwnServices({
    snapshot: snapshots.current,
    logError: (error) => log.error({ err: error }, 'reflection could not be loaded'),
  });
  const grpc = createGrpcDoor(
    { ...deps, maxMessageBytes: options.maxBodyBytes, other: own.take },
    { tls, maxConnectionAgeMs: options.maxConnectionAgeMs, random: Math.random },
  );
  const registry = createRegistry({ snapshot: snapshots.current, series, documents, now: world.now });
  const admin = createAdmin({
    ...{ snapshot: snapshots.current, documents, registry, heartbeatMs: times.heartbeatMs, proxyId, ...world },
    isServing: () => !draining,
    startsAndStops: options.startsAndStops ?? false,
  });

  await admin.listen({ host: options.adminAddress.host ?? '::', port: options.adminAddress.port });
  const httpPort = await listen(server, options.httpAddress);
  const grpcPort = await listen(grpc.server, options.grpcAddress);
  const renew = (pair: TlsPair): void => {
    (server as Server & TlsServer).setSecureContext(pair);
    grpc.renew(pair);
  };
  const renewal =
    options.tls === undefined || tls === undefined
      ? undefined
      : followTls(options.tls, tls, renew, log, times.tlsPollMs);

  const drain = async (): Promise<void> => {
    draining = true;
    renewal?.stop();
    checks.stop();
    overload.stop();
    own.close();
    await Promise.all([drainHttp(options.drainTimeoutMs), grpc.drain(options.drainTimeoutMs)]);
    documents.close();
    snapshots.close();
    await admin.close();
  };
  return { documents, httpPort, grpcPort, adminPort: (admin.server.address() as AddressInfo).port, drain };
}

/** Unique over processes by the prefix, within one by counting; a UUID costs a request as much as its metrics. */
function requestIds(prefix: string): () => string {
  let count = 0;
  return () => {
    count += 1;
    return `${prefix}-${count.toString(36)}`;
  };
}

/** Of V8, in bytes. */
function heap(): { heapUsed: () => number; heapLimit: number } {
  return {
    heapUsed: () => getHeapStatistics().used_heap_size,
    heapLimit: getHeapStatistics().heap_size_limit,
  };
}

function listen(server: NetServer, { host, port }: Address): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, ...(host !== undefined && { host }) }, () => {
      server.off('error', reject);
      resolve((server.address() as AddressInfo).port);
    });
  });
}
