import type { LookupFunction } from 'node:net';
import { startAtRandomPhase } from './balance/phase.ts';
import { hashOf } from './balance/rendezvous.ts';
import { bridgeTo } from './bridge/connections.ts';
import type { OwnerInput } from './config/documents.ts';
import {
  type BackendDocument,
  credentialKey,
  type EndpointEntry,
  type InstanceDocument,
  type PoolDocument,
  type SecretValue,
  type Setting,
} from './config/schema.ts';
import { configuredHeaders } from './configured-headers.ts';
import { createSessions, type Sessions } from './grpc/sessions.ts';
import { grpcOf } from './metrics/series.ts';
import type { Access, Backend, BackendState, Endpoint, EndpointState, Pool, PoolState, Tier } from './pool.ts';
import type { ConnectionSettings } from './upstream/http1/connection.ts';
import { createConnections, sameSettings } from './upstream/http1/connections.ts';

/** What compile needs besides the documents: all of it fixed for the life of the process. */
export interface CompileDeps {
  readonly random: () => number;
  readonly lookup: LookupFunction;
  /** Why a literal address must not be called; undefined where it may. */
  readonly refuseHost: (host: string) => string | undefined;
}

type Loaded = Exclude<OwnerInput, { removed: true }>;

/**
 * Makes the Pool that one owner's documents describe and takes over what `state` has learned, by identity: a backend
 * by tier and name, an endpoint by backend and origin. Nothing of `state` is touched where it throws.
 * @throws Error that names the field, for a document that parses but cannot be served.
 */
export function compilePool(input: Loaded, state: PoolState, deps: CompileDeps): Pool {
  const { document } = input;
  const known = new Map<string, EndpointState>();
  const build = (backend: BackendDocument): Backend => compileBackend(backend, input, state, known, deps);
  const tiers = document.kind === 'LLMPool' ? tiersOf(document, build) : tiersOfInstance(document, build);
  const rule = ruleOf(input);
  const pool: Pool = { ...headOf(input), ...rule, tiers, tellsClientsApart: tellsClientsApart(rule, tiers) };
  adopt(pool, state, known, deps);
  return pool;
}

function headOf(input: Loaded): Pick<Pool, 'kind' | 'namespace' | 'name' | 'key' | 'revision'> {
  const { owner, revision } = input;
  const { kind, namespace, name } = owner;
  return { kind, namespace, name, key: `${namespace}/${name}`, revision };
}

type Rule = Omit<Pool, 'tiers' | 'tellsClientsApart' | keyof ReturnType<typeof headOf>>;

function tellsClientsApart({ access, limits, maxConcurrent }: Rule, tiers: readonly Tier[]): boolean {
  const slots = tiers.flatMap(({ backends }) => backends.map((backend) => backend.maxConcurrent));
  return access !== undefined || limits !== undefined || Math.min(maxConcurrent, ...slots) < Number.POSITIVE_INFINITY;
}

function ruleOf({ document, clients }: Loaded): Rule {
  const { queue, retry, ejection, healthCheck, limits, maxConcurrent = Number.POSITIVE_INFINITY } = document;
  const shared = {
    ...{ queue, retry, ejection, healthCheck, maxConcurrent },
    limits: limits === undefined ? undefined : { pool: limits.pool ?? {}, perClient: limits.perClient ?? {} },
    access: document.access === undefined ? undefined : { clients: clientsByKey(clients) },
  };
  if (document.kind === 'LLMPool') {
    const { models, firstModel, strategy, timeouts, prefixHash, affinity } = document;
    const affinityHeader = affinity?.header.toLowerCase() ?? '';
    return { ...shared, models, firstModel, strategy, timeouts, prefixHash, affinityHeader };
  }
  const { instanceName, named, model, protocol, timeouts, maxBatch } = document;
  return {
    ...shared,
    models: named ? [instanceName] : [],
    firstModel: model ?? instanceName,
    strategy: 'RoundRobin',
    affinityHeader: '',
    prefixHash: NO_PREFIX_HASH,
    timeouts: { ...timeouts, firstByteMs: 0 },
    instance: { instanceName, model: document.modelRouted ? model : undefined, protocol, maxBatch },
  };
}

const NO_PREFIX_HASH = { loadFactorPercent: 100, prefixBytes: 0 };

function clientsByKey(clients: Readonly<Record<string, string>> | undefined): Access['clients'] {
  return clients === undefined ? undefined : new Map(Object.entries(clients).map(([client, key]) => [key, client]));
}

function tiersOf(document: PoolDocument, build: (backend: BackendDocument) => Backend): Tier[] {
  const numbers = [...new Set(document.backends.map(({ tier }) => tier))].sort((a, b) => a - b);
  return numbers.map((tier) => tierOf(tier, document.backends.filter((backend) => backend.tier === tier).map(build)));
}

function tiersOfInstance(document: InstanceDocument, build: (backend: BackendDocument) => Backend): Tier[] {
  return document.backend === undefined ? [] : [tierOf(0, [build(document.backend)])];
}

function tierOf(tier: number, backends: readonly Backend[]): Tier {
  const open = backends.filter(({ weight }) => weight > 0);
  return { tier, backends, endpoints: open.flatMap(({ endpoints }) => endpoints) };
}

function compileBackend(
  document: BackendDocument,
  input: Loaded,
  state: PoolState,
  known: Map<string, EndpointState>,
  deps: CompileDeps,
): Backend {
  const { name, weight, model, modelMap, maxConcurrent = Number.POSITIVE_INFINITY } = document;
  const resolved = (setting: Setting): string => settingValue(setting, input.credentials, name);
  const places: Omit<Endpoint, 'backend' | 'weight'>[] = [];
  const unready: string[] = [];
  for (const place of placesOf(document, input.endpoints)) {
    const { host, origin, address, basePath, ready } = place;
    const refusal = deps.refuseHost(host);
    if (refusal !== undefined) throw new Error(`backend ${name}: ${address}: ${refusal}`);
    const identity = `${name}|${origin}`;
    const endpointState = endpointStateOf(identity, settingsOf(document, origin, input, deps), input, state, known);
    if (ready) places.push({ address, basePath, state: endpointState });
    else unready.push(address);
  }
  const endpoints: Endpoint[] = [];
  const backend: Backend = {
    name,
    weight,
    model,
    modelMap: new Map(Object.entries(modelMap)),
    maxConcurrent,
    headers: configuredHeaders(document, resolved),
    query: document.query
      .map((item) => `${encodeURIComponent(item.name)}=${encodeURIComponent(resolved(item))}`)
      .join('&'),
    endpoints,
    unready,
    state: state.backends.get(`${document.tier}/${name}`) ?? { currentWeight: 0, nextEndpoint: 0 },
  };
  for (const place of places) endpoints.push({ backend, weight: weight / places.length, ...place });
  return backend;
}

interface Place {
  readonly host: string;
  readonly origin: string;
  readonly address: string;
  readonly basePath: string;
  readonly ready: boolean;
}

function placesOf(document: BackendDocument, entries: readonly EndpointEntry[]): Place[] {
  if (document.url !== undefined) {
    const url = new URL(document.url);
    const basePath = url.pathname.replace(/\/+$/, '');
    const port = url.port === '' ? (url.protocol === 'https:' ? '443' : '80') : url.port;
    return [{ host: url.hostname, origin: url.origin, address: `${url.hostname}:${port}`, basePath, ready: true }];
  }
  return entries
    .filter((entry) => entry.backend === document.name)
    .map(({ address: host, port, ready }) => {
      const address = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
      return { host, origin: `${document.scheme}://${address}`, address, basePath: document.path, ready };
    });
}

function settingsOf(document: BackendDocument, origin: string, input: Loaded, deps: CompileDeps): ConnectionSettings {
  const { tls, name } = document;
  const pem = (value: SecretValue | undefined): string | undefined =>
    value === undefined ? undefined : credentialOf(value, input.credentials, name);
  return {
    origin,
    connectMs: input.document.timeouts.connectMs,
    ca: pem(tls?.ca),
    cert: pem(tls?.cert),
    key: pem(tls?.key),
    serverName: tls?.serverName,
    lookup: deps.lookup,
  };
}

/** The endpoint's state as it was, but for connections that would no longer be made the same way. */
function endpointStateOf(
  identity: string,
  settings: ConnectionSettings,
  { document }: Loaded,
  state: PoolState,
  known: Map<string, EndpointState>,
): EndpointState {
  const before = known.get(identity) ?? state.endpoints.get(identity);
  const isGrpc = document.kind === 'EmbeddingInstance' && document.protocol === 'GRPC';
  const isSame = before !== undefined && (before.sessions !== undefined) === isGrpc;
  const kept = isSame && sameSettings(before.connections.settings, settings);
  const after = kept ? before : createEndpointState(identity, settings, isGrpc ? state : undefined);
  known.set(identity, after);
  return after;
}

/** None of its connections is made before it is needed. `grpc`: whose instance's it is, where it speaks gRPC. */
function createEndpointState(
  identity: string,
  settings: ConnectionSettings,
  grpc: PoolState | undefined,
): EndpointState {
  const sessions = grpc === undefined ? undefined : sessionsOf(settings, grpc);
  return {
    ...{ inFlight: 0, restUntil: 0, restReason: 'failures', isProbing: false, failures: 0, ejections: 0 },
    ...{ isHealthy: true, contraryChecks: 0, nextCheckAt: 0, recoveredAt: 0, hash: hashOf(identity) },
    connections: sessions === undefined ? createConnections(settings) : bridgeTo(sessions, () => maxBatchOf(grpc)),
    sessions,
  };
}

function sessionsOf(settings: ConnectionSettings, { series }: PoolState): Sessions {
  const onConnected = (): void => {
    grpcOf(series).connections += 1;
  };
  return createSessions(settings, { onConnected });
}

function maxBatchOf(state: PoolState | undefined): number | undefined {
  return state?.current?.instance?.maxBatch ?? state?.maxBatch;
}

/** Open calls end as they would; new ones find no connection any more. */
export function closeEndpoint({ connections, sessions }: EndpointState): void {
  connections.close();
  sessions?.close();
}

function settingValue(setting: Setting, credentials: Readonly<Record<string, string>>, backend: string): string {
  if (setting.valueFrom === undefined) return setting.value ?? '';
  return `${setting.prefix ?? ''}${credentialOf(setting.valueFrom, credentials, backend)}`;
}

function credentialOf(value: SecretValue, credentials: Readonly<Record<string, string>>, backend: string): string {
  const found = credentials[credentialKey(value)];
  if (found === undefined) throw new Error(`backend ${backend}: Secret '${value.secret}' has no key '${value.key}'`);
  return found;
}

/** Makes the new Pool's states those of the pool: from here on nothing can fail. */
function adopt(pool: Pool, state: PoolState, known: Map<string, EndpointState>, deps: CompileDeps): void {
  const isNew = state.current === undefined;
  const backends = new Map<string, BackendState>();
  for (const { tier, backends: members } of pool.tiers) {
    const total = members.reduce((sum, { weight }) => sum + weight, 0);
    // A backend that left took its position along; the sum is 0 again, or the rest would be off by what it had.
    const drift = members.reduce((sum, { state: position }) => sum + position.currentWeight, 0) / members.length;
    for (const { name, state: position } of members) {
      position.currentWeight = Math.max(-total, Math.min(total, position.currentWeight - drift));
      backends.set(`${tier}/${name}`, position);
    }
  }
  if (isNew) startAtRandomPhase(pool, deps.random);
  for (const [identity, before] of state.endpoints) {
    if (known.get(identity) !== before) closeEndpoint(before);
  }
  state.backends = backends;
  state.endpoints = known;
}
