import type { AdmitDeps } from './admit/seat.ts';
import { type Choice, choose } from './balance/choose.ts';
import { rehearsalOf } from './balance/rehearse.ts';
import { hashOf } from './balance/rendezvous.ts';
import { readFacts } from './http/json-body.ts';
import { prefixKeyOf } from './http/prefix-key.ts';
import { type Match, matchModel, upstreamModel } from './match.ts';
import type { Endpoint, Pool, PoolState, StrategyName, Tier } from './pool.ts';
import type { Snapshot } from './snapshot.ts';
import { type EndpointCondition, stateOf } from './upstream/rest.ts';

/** `/explain`: which endpoint a call would get at this moment, and why. Nothing is sent, nothing is moved. */
export interface Explanation {
  readonly model: string;
  /** Without a `proxy-` that stands for nothing of its own. */
  readonly asked: string;
  /** `namespace/name`. */
  readonly pool: string;
  readonly kind: Pool['kind'];
  readonly matchedBy: 'namespace/name' | 'name' | 'model id' | 'catch-all';
  readonly strategy: StrategyName;
  /** `unavailable`: the Secret with the keys is missing. */
  readonly access: 'open' | 'keys' | 'unavailable';
  readonly inFlight: number;
  readonly queue: { readonly depth: number; readonly maxDepth: number };
  readonly tiers: readonly TierExplained[];
  /** Null where the call would wait or be refused. */
  readonly next: NextEndpoint | null;
  readonly why: string;
}

export interface NextEndpoint {
  readonly backend: string;
  readonly address: string;
  readonly tier: number;
  /** What the backend would be asked for. */
  readonly model: string;
}

interface TierExplained {
  readonly tier: number;
  readonly usable: number;
  readonly endpoints: readonly EndpointExplained[];
}

interface EndpointExplained extends EndpointCondition {
  readonly backend: string;
  readonly address: string;
  /** The backend's. */
  readonly weight: number;
  readonly inFlight: number;
  readonly isUsable: boolean;
}

/**
 * `given` stands for what a call says beside its model: headers in lower case (the affinity header) and fields of its
 * body (`prompt_cache_key`, `user`, `prompt`). Undefined where the model leads nowhere.
 */
export function explain(
  snapshot: Snapshot,
  model: string,
  given: ReadonlyMap<string, string>,
  deps: AdmitDeps,
): Explanation | undefined {
  const match = matchModel(withOwnTurns(snapshot), model, ANYBODY);
  const pool = match?.state.current;
  if (match === undefined || pool === undefined) return undefined;
  const { state, asked } = match;
  const tiers = pool.tiers.map((tier) => explainTier(tier, deps));
  return {
    ...{ model, asked, pool: pool.key, kind: pool.kind, matchedBy: howMatched(snapshot, match) },
    ...{ strategy: pool.strategy, access: accessOf(pool), inFlight: state.inFlight },
    ...{ queue: { depth: state.queue.size, maxDepth: pool.queue.maxDepth }, tiers },
    ...decide(state, pool, { asked, given, tiers }, deps),
  };
}

/** It tells of the way of a call, whoever makes it. */
const ANYBODY = (): boolean => true;

/** Calls by model id take turns: those of a copy are nobody's. */
function withOwnTurns(snapshot: Snapshot): Snapshot {
  return { ...snapshot, byModelId: new Map([...snapshot.byModelId].map(([id, group]) => [id, { ...group }])) };
}

function howMatched({ byPath, byName, byModelId }: Snapshot, { asked }: Match): Explanation['matchedBy'] {
  if (byPath.has(asked)) return 'namespace/name';
  if (byName.has(asked)) return 'name';
  return byModelId.has(asked) ? 'model id' : 'catch-all';
}

function accessOf({ access }: Pool): Explanation['access'] {
  if (access === undefined) return 'open';
  return access.clients === undefined ? 'unavailable' : 'keys';
}

function explainTier({ tier, backends }: Tier, deps: AdmitDeps): TierExplained {
  const endpoints = backends.flatMap(({ name, weight, endpoints: ready, unready }) => [
    ...ready.map((endpoint) => explainEndpoint(endpoint, deps)),
    ...unready.map((address) => ({
      ...{ backend: name, address, weight, inFlight: 0, cooldownSeconds: 0, isUsable: false },
      ...{ state: 'unhealthy' as const, reason: 'not ready' },
    })),
  ]);
  return { tier, usable: endpoints.filter(({ isUsable }) => isUsable).length, endpoints };
}

function explainEndpoint({ backend, address, state }: Endpoint, { now, shareOf }: AdmitDeps): EndpointExplained {
  const { name, weight, maxConcurrent } = backend;
  const condition = stateOf(state, now());
  const slots = shareOf(maxConcurrent);
  const isFull = state.inFlight >= slots;
  const isUsable = weight > 0 && condition.state === 'ready' && !state.isProbing && !isFull;
  let { reason } = condition;
  if (weight === 0) reason = 'drained: its backend has weight 0';
  else if (condition.state === 'ready' && state.isProbing) reason = 'one call tries it first after its rest';
  else if (condition.state === 'ready' && isFull) reason = `full: ${state.inFlight} of ${slots} calls`;
  return { backend: name, address, weight, inFlight: state.inFlight, ...condition, reason, isUsable };
}

interface Question {
  readonly asked: string;
  readonly given: ReadonlyMap<string, string>;
  readonly tiers: readonly TierExplained[];
}

function decide(
  state: PoolState,
  pool: Pool,
  { asked, given, tiers }: Question,
  deps: AdmitDeps,
): Pick<Explanation, 'next' | 'why'> {
  if (accessOf(pool) === 'unavailable') return { next: null, why: 'access_unavailable: its Secret is missing' };
  const depth = state.queue.size;
  const slots = deps.shareOf(pool.maxConcurrent);
  const wait = depth >= pool.queue.maxDepth ? 'queue_full: the queue is full' : 'it would wait in the queue';
  if (depth > 0) return { next: null, why: `${wait}, behind ${depth} others` };
  if (state.inFlight >= slots) return { next: null, why: `${wait}: the pool has ${state.inFlight} of ${slots} calls` };
  const keys = keysOf(pool, asked, given);
  const rehearsal = rehearsalOf(pool);
  const choice = choose(rehearsal, { tried: [], spills: 0, ...keys }, deps.now(), deps);
  if (choice === 'busy') return { next: null, why: `${wait}: every endpoint that could serve is full` };
  if (choice === 'none') return { next: null, why: refusalOf(tiers) };
  const tier = rehearsal.tiers.find(({ backends }) => backends.includes(choice.backend))?.tier ?? 0;
  const next = { ...nameOf(choice), tier, model: upstreamModel(pool, choice.backend, asked) };
  const usable = tiers.find((explained) => explained.tier === tier)?.usable ?? 0;
  return { next, why: `tier ${tier}: ${rule(pool, keys)}; ${usable} usable${passed(tiers, tier)}` };
}

function nameOf({ backend, address }: Exclude<Choice, string>): { backend: string; address: string } {
  return { backend: backend.name, address };
}

interface Keys {
  readonly conversation: number | undefined;
  readonly prefixKey: number | undefined;
}

/** As the request path reads them of headers and body. */
function keysOf(pool: Pool, asked: string, given: ReadonlyMap<string, string>): Keys {
  const header = pool.affinityHeader === '' ? undefined : given.get(pool.affinityHeader);
  const conversation = header === undefined || header === '' ? undefined : hashOf(header);
  if (pool.strategy !== 'PrefixHash' || conversation !== undefined) return { conversation, prefixKey: conversation };
  const body = Buffer.from(JSON.stringify({ ...Object.fromEntries(given), model: asked }));
  return { conversation, prefixKey: prefixKeyOf(body, readFacts(body), pool) };
}

function rule({ strategy, affinityHeader }: Pool, { conversation, prefixKey }: Keys): string {
  if (conversation !== undefined) return `the conversation's own, by ${affinityHeader}`;
  if (strategy === 'Failover') return 'Failover, the first backend that can be had';
  if (strategy === 'LeastRequest') return 'LeastRequest, the less loaded of two drawn at random';
  if (strategy !== 'PrefixHash') return `${strategy}, the next in turn`;
  return prefixKey === undefined ? 'PrefixHash without a key, the less loaded of two' : 'PrefixHash, by its key';
}

function passed(tiers: readonly TierExplained[], tier: number): string {
  const lower = tiers.filter((other) => other.tier < tier).map((other) => other.tier);
  return lower.length === 0 ? '' : `, none in tier ${lower.join(', ')}`;
}

function refusalOf(tiers: readonly TierExplained[]): string {
  const healthy = tiers
    .flatMap(({ endpoints }) => endpoints)
    .filter(({ state, weight }) => weight > 0 && state !== 'unhealthy');
  const isCooling = healthy.length > 0 && healthy.every(({ state }) => state === 'cooling');
  if (isCooling) return 'rate_limit_exceeded: every endpoint cools down after a 429';
  return 'no_healthy_endpoints: no endpoint can be had';
}
