import type { EmbeddingInstance } from '../crds/embedding-instance.ts';
import type { LLMPool } from '../crds/llm-pool.ts';
import type { Resources, SecretFacts, TranslateOptions, UnreadableFacts } from '../operator/translate/resources.ts';
import type { Cidr } from '../program/flag-values.ts';
import type { Shelf } from './shelf.ts';
import type { Item } from './yaml-file.ts';

/** Something in a file that is not taken as it stands. */
export interface Fault {
  readonly file: string;
  /** The object, as `LLMPool/ml/chat`; absent: the file itself. */
  readonly key?: string;
  readonly message: string;
}

export interface Gathered {
  readonly pools: ReadonlyMap<string, LLMPool>;
  readonly instances: ReadonlyMap<string, EmbeddingInstance>;
  readonly secrets: ReadonlyMap<string, SecretFacts>;
  /** CRs that could never be used yet, by ownerKey. */
  readonly unreadable: ReadonlyMap<string, UnreadableFacts>;
  readonly faults: readonly Fault[];
}

/** All files as one set of objects. Of an object in two files the one in the first file, by path, counts. */
export function gather(shelf: Shelf): Gathered {
  const files = [...shelf].sort(([a], [b]) => (a < b ? -1 : 1));
  const items = new Map<string, { readonly file: string; readonly item: Item }>();
  const faults: Fault[] = [];
  for (const [file, state] of files) {
    faults.push(...state.problems.map((message) => ({ file, message })));
    for (const [key, messages] of state.refused) faults.push(...messages.map((message) => ({ file, key, message })));
    for (const [key, item] of state.items) {
      const first = items.get(key)?.file;
      if (first === undefined) items.set(key, { file, item });
      else faults.push({ file, key, message: `is declared in ${first} too; that one counts` });
    }
  }
  const refused = Map.groupBy(faults, ({ key }) => key);
  const unreadable = new Map(
    [...refused].flatMap(([key, all]) => (items.has(key ?? '') ? [] : unreadableFrom(key, all))),
  );
  return { ...sorted([...items.values()].map(({ item }) => item)), unreadable, faults };
}

function sorted(items: readonly Item[]): Pick<Gathered, 'pools' | 'instances' | 'secrets'> {
  const pools = new Map<string, LLMPool>();
  const instances = new Map<string, EmbeddingInstance>();
  const secrets = new Map<string, SecretFacts>();
  for (const { kind, value } of items) {
    if (kind === 'LLMPool') pools.set(`${value.metadata.namespace}/${value.metadata.name}`, value);
    else if (kind === 'EmbeddingInstance') instances.set(`${value.metadata.namespace}/${value.metadata.name}`, value);
    else secrets.set(`${value.namespace}/${value.name}`, value);
  }
  return { pools, instances, secrets };
}

function unreadableFrom(key: string | undefined, faults: readonly Fault[]): [string, UnreadableFacts][] {
  const [kind, namespace, name] = key?.split('/') ?? [];
  if (key === undefined || namespace === undefined || name === undefined) return [];
  if (kind !== 'LLMPool' && kind !== 'EmbeddingInstance') return [];
  const problem = faults.map(({ message }) => message).join('; ');
  return [[key, { owner: { kind, namespace, name }, generation: 0, problem }]];
}

/** What translate reads, with nothing of a cluster. */
export function resourcesOf(gathered: Gathered, published: Resources['published']): Resources {
  const { pools, instances, secrets, unreadable } = gathered;
  return { pools, instances, secrets, unreadable, published, services: new Map(), slices: new Map(), pods: new Map() };
}

/** How translate is asked without a cluster: loopback is allowed, Secrets need no label. */
export function translateOptions(allowUpstream: readonly Cidr[]): TranslateOptions {
  const allowed = allowUpstream.map(({ address, prefix }) => `${address}/${prefix}`);
  return { standalone: true, allowUpstream: allowed, apiServerAddresses: [] };
}
