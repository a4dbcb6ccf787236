import { ApiError } from '../kube/api-error.ts';
import type { KubeClient } from '../kube/client.ts';
import { type KubeObject, pathOf, RESOURCES, type Resource } from '../kube/object.ts';
import { type Reflector, reflect } from '../kube/reflector.ts';
import type { Log } from '../program/log.ts';
import type { Owner } from '../proxy/config/schema.ts';
import { type CustomResource, readCustomResource } from './custom-resource.ts';
import { createInputs, type Inputs } from './inputs.ts';
import { createPublished, type Published } from './published.ts';
import { installSelector, type PublishedObject, readPublished } from './published-object.ts';
import { podFacts, secretFacts, serviceFacts, sliceFacts } from './translate/facts.ts';

/** What the operator learns. Each call comes with the store already up to date. */
export interface StoreEvents {
  /** A CR is new, gone, or means something else. */
  readonly resourceChanged: (key: string) => void;
  /** Somebody wrote a CR's status or metadata; its meaning is the same. */
  readonly statusChanged: (resource: CustomResource) => void;
  /** What these CRs read of the cluster changed. */
  readonly inputsChanged: (keys: Iterable<string>) => void;
  /** What is published of these is not as we left it. */
  readonly publishedChanged: (keys: Iterable<string>) => void;
  /** The names in published documents changed. */
  readonly namesChanged: () => void;
  /** The ConfigMap that owns what we publish came or went. */
  readonly rootChanged: () => void;
}

export interface StoreOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  /** Empty: all. */
  readonly watchNamespaces: readonly string[];
  readonly sidecarNamespaces: readonly string[];
  /** The ConfigMap that owns what we publish; its name is the install's. */
  readonly owner: string;
  readonly log: Log;
  readonly events: StoreEvents;
}

/** All that the operator knows of the cluster, kept up to date by watches. */
export interface Store {
  readonly inputs: Inputs;
  readonly published: Published;
  /** undefined: there is no such CR. */
  readonly get: (key: string) => CustomResource | undefined;
  readonly keys: () => Iterable<string>;
  /** Every kind has been read whole. */
  readonly synced: () => boolean;
  readonly whenSynced: Promise<void>;
  /** What has not been read whole yet, as `secrets` or `pods in ml`. */
  readonly missing: () => readonly string[];
  readonly root: () => Root;
  readonly lastEventAges: () => readonly { readonly resource: string; readonly seconds: number }[];
  readonly stop: () => Promise<void>;
}

/** `gone`: it was there; the release is being uninstalled. */
export type Root = { readonly state: 'absent' | 'gone' } | { readonly state: 'present'; readonly uid: string };

interface Watched {
  readonly name: string;
  readonly resource: string;
  readonly reflector: Reflector<unknown>;
}

export function createStore(options: StoreOptions): Store {
  const { client, events, owner } = options;
  const resources = new Map<string, CustomResource>();
  const published = createPublished(options.namespace, events.namesChanged);
  const inputs = createInputs({
    published: published.names,
    factsOfSecret: secretFacts,
    readSecret: (key) => readSecret(client, key),
    changed: events.inputsChanged,
  });
  const watched: Watched[] = [];
  let root: Root = { state: 'absent' };

  const watch = <T>(
    resource: Resource,
    where: { namespace?: string | undefined; labelSelector?: string; fieldSelector?: string },
    project: (object: KubeObject) => T | undefined,
    changed: (key: string, now: T | undefined, before: T | undefined) => void,
  ): Promise<void> => {
    const reflector = reflect({ ...where, client, resource, project, changed, log: options.log });
    const name = where.namespace === undefined ? resource.plural : `${resource.plural} in ${where.namespace}`;
    watched.push({ name, resource: resource.plural, reflector });
    return reflector.whenSynced;
  };

  const resourceChanged = (now: CustomResource | undefined, before: CustomResource | undefined): void => {
    const { key, owner: of } = (now ?? before) as CustomResource;
    if (now) resources.set(key, now);
    else resources.delete(key);
    const isSame = now?.uid === before?.uid && now?.generation === before?.generation;
    if (now && isSame) {
      events.statusChanged(now);
      return;
    }
    inputs.setResource(key, of, now);
    events.resourceChanged(key);
  };

  const spaces = options.watchNamespaces.length > 0 ? options.watchNamespaces : [undefined];
  const watchAll = (start: (namespace: string | undefined) => readonly Promise<void>[]): Promise<unknown> =>
    Promise.all(spaces.flatMap(start));

  const watchResources = (kind: Owner['kind'], resource: Resource, namespace: string | undefined) =>
    watch(
      resource,
      { namespace },
      (object) => readCustomResource(kind, object),
      (_, now, before) => resourceChanged(now, before),
    );
  const resourcesRead = watchAll((namespace) => [
    watchResources('LLMPool', RESOURCES.llmPools, namespace),
    watchResources('EmbeddingInstance', RESOURCES.embeddingInstances, namespace),
  ]);

  const inputsRead = watchAll((namespace) => [
    watch(RESOURCES.services, { namespace }, serviceFacts, inputs.setService),
    watch(RESOURCES.endpointSlices, { namespace }, sliceFacts, inputs.setSlice),
    watch(RESOURCES.pods, { namespace, fieldSelector: RUNNING }, podFacts, inputs.setPod),
  ]);

  // Only now it is known which Secrets' values to keep.
  const secretsRead = resourcesRead.then(() =>
    watchAll((namespace) => [
      watch(RESOURCES.secrets, { namespace, labelSelector: CREDENTIAL }, inputs.projectSecret, inputs.setSecret),
    ]),
  );

  const watchPublished = (resource: Resource, namespace: string) =>
    watch<PublishedObject>(
      resource,
      { namespace, labelSelector: installSelector(owner) },
      (object) => readPublished(object, resource, owner),
      (_, now, before) => events.publishedChanged(published.observe(now, before)),
    );
  const publishedRead = Promise.all([
    watchPublished(RESOURCES.secrets, options.namespace),
    ...[...new Set([options.namespace, ...options.sidecarNamespaces])].map((namespace) =>
      watchPublished(RESOURCES.configMaps, namespace),
    ),
  ]);

  const rootRead = watch<string>(
    RESOURCES.configMaps,
    { namespace: options.namespace, fieldSelector: `metadata.name=${owner}` },
    ({ metadata }) => (metadata.deletionTimestamp === undefined ? metadata.uid : undefined),
    (_, uid) => {
      root = uid === undefined ? { state: 'gone' } : { state: 'present', uid };
      events.rootChanged();
    },
  );

  let isSynced = false;
  const whenSynced = Promise.all([resourcesRead, inputsRead, secretsRead, publishedRead, rootRead]).then(() => {
    isSynced = true;
  });

  return {
    ...{ inputs, published, whenSynced },
    get: (key) => resources.get(key),
    keys: () => resources.keys(),
    synced: () => isSynced,
    missing: () => watched.filter(({ reflector }) => !reflector.synced()).map(({ name }) => name),
    root: () => root,
    lastEventAges: () =>
      watched.map(({ resource, reflector }) => ({ resource, seconds: reflector.lastEventAgeSeconds() })),
    stop: async () => {
      await Promise.all(watched.map(({ reflector }) => reflector.stop()));
    },
  };
}

/** Only these Secrets may be named by a CR (CONTRACT §2.4). */
const CREDENTIAL = 'sluice.dev/credential=true';
/** Pods that have ended are no endpoints, and a cluster may keep thousands. */
const RUNNING = 'status.phase!=Succeeded,status.phase!=Failed';

async function readSecret(client: KubeClient, key: string): Promise<KubeObject | undefined> {
  const [namespace, name] = key.split('/');
  try {
    return await client.call({ path: pathOf(RESOURCES.secrets, { namespace, name }) });
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return undefined;
    throw error;
  }
}
