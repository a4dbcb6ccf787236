import type { KubeObject } from '../kube/object.ts';
import type { SecretFacts } from './translate/resources.ts';

/** A labelled Secret that is there; its values only while some CR names it. */
export interface SecretHold {
  readonly resourceVersion: string;
  facts: SecretFacts | undefined;
}

export interface Secrets {
  /** Those that CRs name, by `namespace/name`. */
  readonly facts: ReadonlyMap<string, SecretFacts>;
  readonly project: (object: KubeObject) => SecretHold | undefined;
  readonly observe: (key: string, now: SecretHold | undefined) => void;
  /** Reads those that are there but whose values were not kept, as nobody had named them. */
  readonly fill: (keys: Iterable<string>) => Promise<void>;
  /** Forgets the values of those that nobody names any more. */
  readonly release: (keys: Iterable<string>) => void;
}

export interface SecretsOptions {
  readonly isNamed: (key: string) => boolean;
  readonly factsOf: (object: KubeObject) => SecretFacts | undefined;
  /** One Secret from the API server; undefined: it is gone. */
  readonly read: (key: string) => Promise<KubeObject | undefined>;
}

export function createSecrets({ isNamed, factsOf, read }: SecretsOptions): Secrets {
  const holds = new Map<string, SecretHold>();
  const facts = new Map<string, SecretFacts>();

  const project: Secrets['project'] = (object) => {
    const { namespace = '', name, resourceVersion = '' } = object.metadata;
    return { resourceVersion, facts: isNamed(`${namespace}/${name}`) ? factsOf(object) : undefined };
  };

  const keep = (key: string, found: SecretFacts | undefined): void => {
    if (found === undefined) facts.delete(key);
    else facts.set(key, found);
  };

  const observe: Secrets['observe'] = (key, now) => {
    if (now === undefined) holds.delete(key);
    else holds.set(key, now);
    keep(key, now?.facts);
  };

  const fillOne = async (key: string): Promise<void> => {
    const object = await read(key);
    const hold = holds.get(key);
    // What came by the watch meanwhile is newer.
    if (object === undefined || hold === undefined || hold.facts !== undefined) return;
    hold.facts = factsOf(object);
    keep(key, hold.facts);
  };

  return {
    facts,
    project,
    observe,
    fill: async (keys) => {
      const missing = [...keys].filter((key) => holds.has(key) && holds.get(key)?.facts === undefined);
      await Promise.all(missing.map(fillOne));
    },
    release: (keys) => {
      for (const key of keys) {
        if (isNamed(key)) continue;
        const hold = holds.get(key);
        if (hold) hold.facts = undefined;
        facts.delete(key);
      }
    },
  };
}
