import type { EmbeddingInstance } from '../crds/embedding-instance.ts';
import type { LLMPool } from '../crds/llm-pool.ts';
import type { KubeObject } from '../kube/object.ts';
import type { CustomResource } from './custom-resource.ts';
import { createGrouped } from './grouped.ts';
import { createReaders, referencesOf } from './references.ts';
import { createSecrets, type SecretHold } from './secrets.ts';
import type {
  PodFacts,
  Resources,
  SecretFacts,
  ServiceFacts,
  SliceFacts,
  UnreadableFacts,
} from './translate/resources.ts';

type Changed<T> = (key: string, now: T | undefined, before: T | undefined) => void;

/** What translate reads, indexed change by change, and which CRs each change concerns. */
export interface Inputs {
  readonly resources: Resources;
  readonly setResource: (key: string, resource: CustomResource | undefined) => void;
  readonly setService: Changed<ServiceFacts>;
  readonly setSlice: Changed<SliceFacts>;
  readonly setPod: Changed<PodFacts>;
  readonly projectSecret: (object: KubeObject) => SecretHold | undefined;
  readonly setSecret: Changed<SecretHold>;
  /** Has what a CR names and nobody named before. */
  readonly fill: (key: string) => Promise<void>;
}

export interface InputsOptions {
  readonly published: Resources['published'];
  readonly factsOfSecret: (object: KubeObject) => SecretFacts | undefined;
  readonly readSecret: (key: string) => Promise<KubeObject | undefined>;
  /** These CRs read something that changed. */
  readonly changed: (keys: Iterable<string>) => void;
  /** Every CR may: where the API server is, which none may call, changed. */
  readonly groundChanged: () => void;
}

const API_SERVER = 'default/kubernetes';

export function createInputs(options: InputsOptions): Inputs {
  const { published, factsOfSecret, readSecret, changed, groundChanged } = options;
  const readers = createReaders();
  const pools = new Map<string, LLMPool>();
  const instances = new Map<string, EmbeddingInstance>();
  const unreadable = new Map<string, UnreadableFacts>();
  const services = new Map<string, ServiceFacts>();
  const slices = createGrouped<SliceFacts>();
  const pods = createGrouped<PodFacts>();
  const isNamed = (secret: string): boolean => [...readers.ofSecret(secret)].length > 0;
  const secrets = createSecrets({ isNamed, factsOf: factsOfSecret, read: readSecret });

  const setResource: Inputs['setResource'] = (key, resource) => {
    const [kind, namespace = '', name] = key.split('/');
    const at = `${namespace}/${name}`;
    const named = readers.secretsOf(key);
    readers.set(key, namespace, referencesOf(resource));
    secrets.release(named);
    if (kind === 'LLMPool') replace(pools, at, resource?.parsed as LLMPool | undefined);
    else replace(instances, at, resource?.parsed as EmbeddingInstance | undefined);
    replace(unreadable, key, resource?.problem === '' ? undefined : resource);
  };

  const serviceChanged = (service: string): void => {
    if (service === API_SERVER) groundChanged();
    else changed(readers.ofService(service));
  };

  return {
    resources: {
      pools,
      instances,
      unreadable,
      services,
      slices: slices.groups,
      pods: pods.groups,
      secrets: secrets.facts,
      published,
    },
    setResource,
    setService: (key, now) => {
      replace(services, key, now);
      serviceChanged(key);
    },
    setSlice: (key, now, before) => {
      const of = (slice: SliceFacts): string => `${slice.namespace}/${slice.service}`;
      slices.set(key, now ? of(now) : '', now);
      for (const service of new Set([now, before].flatMap((slice) => (slice ? of(slice) : [])))) {
        serviceChanged(service);
      }
    },
    setPod: (key, now, before) => {
      const namespace = (now ?? before)?.namespace ?? '';
      pods.set(key, namespace, now);
      changed(
        readers.ofPod(
          namespace,
          [now, before].flatMap((pod) => pod ?? []),
        ),
      );
    },
    projectSecret: secrets.project,
    setSecret: (key, now) => {
      secrets.observe(key, now);
      changed(readers.ofSecret(key));
    },
    fill: (key) => secrets.fill(readers.secretsOf(key)),
  };
}

function replace<T>(map: Map<string, T>, key: string, value: T | undefined): void {
  if (value === undefined) map.delete(key);
  else map.set(key, value);
}
