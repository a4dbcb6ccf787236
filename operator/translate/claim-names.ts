import type { EmbeddingInstance } from '../../crds/embedding-instance.ts';
import type { LLMPool } from '../../crds/llm-pool.ts';
import { type Owner, ownerKey } from '../../proxy/config/schema.ts';
import { instanceFaults, poolFaults } from './refuse.ts';
import type { Resources, TranslateOptions } from './resources.ts';
import { createRefuseUpstream } from './upstream.ts';

/** What a CR has of the one space of flat names. */
export interface Claim {
  /** Those that are its own, in its own order. */
  readonly names: readonly string[];
  readonly lost: readonly { readonly name: string; readonly winner: Owner }[];
  /** Whether its namespace may have flat names at all. */
  readonly isGlobal: boolean;
}

/** By ownerKey, of every CR. */
export type Claims = ReadonlyMap<string, Claim>;

interface Claimant {
  readonly owner: Owner;
  /** Smaller is older. */
  readonly age: string;
  readonly isGlobal: boolean;
  readonly wanted: readonly string[];
  /** It is refused: the names are those of the document that is served, which nothing can change now. */
  readonly isHolder: boolean;
}

/**
 * Who has which flat name: the older CR by creationTimestamp, then by namespace/name; in standalone by namespace/name
 * alone. A refused CR keeps, against everybody, the names its last published document has. A name spelt like the
 * `namespace/name` of another CR is that CR's.
 */
export function claimNames(
  resources: Resources,
  options: TranslateOptions,
  isRefused: IsRefused = createIsRefused(resources, options),
): Claims {
  const claims = new Map<string, Claim>();
  const winners = new Map<string, Owner>();
  for (const { owner, wanted, isGlobal } of claimantsOf(resources, options, isRefused).sort(byPrecedence)) {
    const names: string[] = [];
    const lost: { name: string; winner: Owner }[] = [];
    for (const name of wanted) {
      const winner = ownerByPath(name, owner, resources) ?? winners.get(name);
      if (winner === undefined) names.push(name);
      else lost.push({ name, winner });
    }
    for (const name of names) winners.set(name, owner);
    claims.set(ownerKey(owner), { names, lost, isGlobal });
  }
  return claims;
}

/** Whether a CR is not accepted. The same for the same object, until the API server is elsewhere. */
export type IsRefused = (resource: LLMPool | EmbeddingInstance) => boolean;

export function createIsRefused(resources: Resources, options: TranslateOptions): IsRefused {
  const refuseUpstream = createRefuseUpstream(resources, options);
  return (resource) => {
    const faults =
      resource.kind === 'LLMPool'
        ? poolFaults(resource, options, refuseUpstream)
        : instanceFaults(resource, options, refuseUpstream);
    return faults.length > 0;
  };
}

function claimantsOf(resources: Resources, options: TranslateOptions, isRefused: IsRefused): Claimant[] {
  const { pools, instances, unreadable, published } = resources;
  const claimant = (owner: Owner, created: string | undefined, own: readonly string[], isHolder: boolean): Claimant => {
    const isGlobal = options.globalNamesFrom?.has(owner.namespace) ?? true;
    const wanted = isHolder ? (published.get(ownerKey(owner)) ?? []) : isGlobal ? own : [];
    return { owner, age: options.standalone ? '' : (created ?? NEVER), isGlobal, wanted, isHolder };
  };
  return [
    ...[...pools.values()].map((pool) => {
      const { namespace, name, creationTimestamp } = pool.metadata;
      const own = pool.spec.models ?? [name];
      return claimant({ kind: 'LLMPool', namespace, name }, creationTimestamp, own, isRefused(pool));
    }),
    ...[...instances.values()].map((instance) => {
      const { namespace, name, creationTimestamp } = instance.metadata;
      const own = [instance.spec.instanceName ?? name];
      return claimant({ kind: 'EmbeddingInstance', namespace, name }, creationTimestamp, own, isRefused(instance));
    }),
    ...[...unreadable.values()].map(({ owner }) => claimant(owner, undefined, [], true)),
  ];
}

/** Later than any. */
const NEVER = '~';

function byPrecedence(a: Claimant, b: Claimant): number {
  if (a.isHolder !== b.isHolder) return a.isHolder ? -1 : 1;
  if (a.age !== b.age) return a.age < b.age ? -1 : 1;
  return pathOf(a.owner) < pathOf(b.owner) ? -1 : 1;
}

/** The kind decides only between two of the same `namespace/name`. */
function pathOf({ kind, namespace, name }: Owner): string {
  return `${namespace}/${name} ${kind}`;
}

/** The other CR whose `namespace/name` this is. */
function ownerByPath(name: string, self: Owner, { pools, instances, unreadable }: Resources): Owner | undefined {
  const [namespace = '', rest = '', ...more] = name.split('/');
  if (rest === '' || more.length > 0 || (namespace === self.namespace && rest === self.name)) return undefined;
  const kinds: readonly Owner['kind'][] = ['LLMPool', 'EmbeddingInstance'];
  return kinds
    .map((kind) => ({ kind, namespace, name: rest }))
    .find((owner) => {
      const known = owner.kind === 'LLMPool' ? pools : instances;
      return known.has(name) || unreadable.has(ownerKey(owner));
    });
}
