import type { EmbeddingInstance } from '../crds/embedding-instance.ts';
import type { LLMPool } from '../crds/llm-pool.ts';
import type { Resources, SecretFacts, TranslateOptions } from '../operator/translate/resources.ts';
import type { Shelf } from './shelf.ts';

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
  readonly faults: readonly Fault[];
}

/** All files as one set of objects. Of an object in two files the one in the first file, by path, counts. */
export function gather(shelf: Shelf): Gathered {
  const pools = new Map<string, LLMPool>();
  const instances = new Map<string, EmbeddingInstance>();
  const secrets = new Map<string, SecretFacts>();
  const faults: Fault[] = [];
  const fileOf = new Map<string, string>();
  for (const [file, state] of [...shelf].sort(([a], [b]) => (a < b ? -1 : 1))) {
    faults.push(...state.problems.map((message) => ({ file, message })));
    for (const [key, messages] of state.refused) faults.push(...messages.map((message) => ({ file, key, message })));
    for (const [key, item] of state.items) {
      const first = fileOf.get(key);
      if (first !== undefined) {
        faults.push({ file, key, message: `is declared in ${first} too; that one counts` });
        continue;
      }
      fileOf.set(key, file);
      const name = key.slice(key.indexOf('/') + 1);
      if (item.kind === 'LLMPool') pools.set(name, item.value);
      else if (item.kind === 'EmbeddingInstance') instances.set(name, item.value);
      else secrets.set(name, item.value);
    }
  }
  return { pools, instances, secrets, faults };
}

/** What translate reads, with nothing of a cluster. */
export function resourcesOf(gathered: Gathered, published: Resources['published']): Resources {
  const { pools, instances, secrets } = gathered;
  return { pools, instances, secrets, published, services: new Map(), slices: new Map(), pods: new Map() };
}

export const OPTIONS: TranslateOptions = { standalone: true, allowUpstream: [], apiServerAddresses: [] };
