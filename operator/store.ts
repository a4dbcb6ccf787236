import { ApiError } from '../kube/api-error.ts';
import type { KubeClient } from '../kube/client.ts';
import { type KubeObject, keyOf, pathOf, RESOURCES, type Resource } from '../kube/object.ts';
import type { Log } from '../program/log.ts';
import type { Owner } from '../proxy/config/schema.ts';
import { type CustomResource, readCustomResource } from './custom-resource.ts';
import { createInputs, type Inputs } from './inputs.ts';
import { createPublished, type Published } from './published.ts';
import { installSelector, type PublishedObject, readPublished } from './published-object.ts';
import { podFacts, secretFacts, serviceFacts, sliceFacts } from './translate/facts.ts';
import { createWatches, type Watches } from './watches.ts';

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
  /** Something that every CR depends on changed: what owns all we publish, or where the API server is. */
  readonly groundChanged: () => void;
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

/** `gone`: it was there; the release is being uninstalled. */
export type Root = { readonly state: 'absent' | 'gone' } | { readonly state: 'present'; readonly uid: string };

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
  readonly lastEventAges: Watches['lastEventAges'];
  readonly stop: () => Promise<void>;
}

/** Starts to read at once. */
export function createStore(options: StoreOptions): Store {
  const { client, events } = options;
  const resources = new Map<string, CustomResource>();
  const published = createPublished(options.namespace, events.namesChanged);
  const inputs = createInputs({
    published: published.names,
    factsOfSecret: secretFacts,
    readSecret: (key) => readSecret(client, key),
    changed: events.inputsChanged,
    groundChanged: events.groundChanged,
  });
  const watches = createWatches(client, options.log);
  let root: Root = { state: 'absent' };

  const take = (now: CustomResource | undefined, before: CustomResource | undefined): void => {
    const key = (now ?? before)?.key ?? '';
    if (now) resources.set(key, now);
    else resources.delete(key);
    if (now && now.uid === before?.uid && now.generation === before.generation) {
      events.statusChanged(now);
      return;
    }
    inputs.setResource(key, now);
    events.resourceChanged(key);
  };
  const resourcesRead = watchResources(watches, options, (key) => resources.get(key), take);
  const rootRead = watchRoot(watches, options, (now) => {
    root = now;
    events.groundChanged();
  });
  // Which Secrets' values to keep is known only once the CRs are.
  const secretsRead = resourcesRead.then(() => watchSecrets(watches, options, inputs));
  const rest = [watchInputs(watches, options, inputs), watchPublished(watches, options, published), rootRead];
  let isSynced = false;
  const whenSynced = Promise.all([secretsRead, ...rest]).then(() => {
    isSynced = true;
  });

  return {
    ...{ inputs, published, whenSynced },
    get: (key) => resources.get(key),
    keys: () => resources.keys(),
    synced: () => isSynced,
    root: () => root,
    missing: watches.missing,
    lastEventAges: watches.lastEventAges,
    stop: watches.stop,
  };
}

function everywhere({ watchNamespaces }: StoreOptions): readonly (string | undefined)[] {
  return watchNamespaces.length > 0 ? watchNamespaces : [undefined];
}

function watchResources(
  { watch }: Watches,
  options: StoreOptions,
  known: (key: string) => CustomResource | undefined,
  take: (now: CustomResource | undefined, before: CustomResource | undefined) => void,
): Promise<unknown> {
  const kinds: readonly [Owner['kind'], Resource][] = [
    ['LLMPool', RESOURCES.llmPools],
    ['EmbeddingInstance', RESOURCES.embeddingInstances],
  ];
  const start = ([kind, resource]: (typeof kinds)[number], namespace: string | undefined) =>
    watch(
      resource,
      { namespace },
      (object) => readCustomResource(kind, object, known(`${kind}/${keyOf(object)}`)),
      (_, now, before) => take(now, before),
    );
  return Promise.all(everywhere(options).flatMap((namespace) => kinds.map((kind) => start(kind, namespace))));
}

/** Pods that have ended are no endpoints, and a cluster may keep thousands. */
const RUNNING = 'status.phase!=Succeeded,status.phase!=Failed';

function watchInputs({ watch }: Watches, options: StoreOptions, inputs: Inputs): Promise<unknown> {
  return Promise.all(
    everywhere(options).flatMap((namespace) => [
      watch(RESOURCES.services, { namespace }, serviceFacts, inputs.setService),
      watch(RESOURCES.endpointSlices, { namespace }, sliceFacts, inputs.setSlice),
      watch(RESOURCES.pods, { namespace, fieldSelector: RUNNING }, podFacts, inputs.setPod),
    ]),
  );
}

/** Only these may be named by a CR (CONTRACT §2.4). */
const CREDENTIAL = 'sluice.dev/credential=true';

function watchSecrets({ watch }: Watches, options: StoreOptions, inputs: Inputs): Promise<unknown> {
  const { projectSecret, setSecret } = inputs;
  return Promise.all(
    everywhere(options).map((namespace) =>
      watch(RESOURCES.secrets, { namespace, labelSelector: CREDENTIAL }, projectSecret, setSecret),
    ),
  );
}

function watchPublished({ watch }: Watches, options: StoreOptions, published: Published): Promise<unknown> {
  const { namespace: own, sidecarNamespaces, owner, events } = options;
  const start = (resource: Resource, namespace: string): Promise<void> =>
    watch<PublishedObject>(
      resource,
      { namespace, labelSelector: installSelector(owner) },
      (object) => readPublished(object, resource, owner),
      (_, now, before) => events.publishedChanged(published.observe(now, before)),
    );
  const namespaces = [...new Set([own, ...sidecarNamespaces])];
  return Promise.all([
    start(RESOURCES.secrets, own),
    ...namespaces.map((namespace) => start(RESOURCES.configMaps, namespace)),
  ]);
}

function watchRoot(
  { watch }: Watches,
  { namespace, owner }: StoreOptions,
  changed: (root: Root) => void,
): Promise<void> {
  return watch<string>(
    RESOURCES.configMaps,
    { namespace, fieldSelector: `metadata.name=${owner}` },
    ({ metadata }) => (metadata.deletionTimestamp === undefined ? metadata.uid : undefined),
    (_, uid) => changed(uid === undefined ? { state: 'gone' } : { state: 'present', uid }),
  );
}

async function readSecret(client: KubeClient, key: string): Promise<KubeObject | undefined> {
  const [namespace, name] = key.split('/');
  try {
    return await client.call({ path: pathOf(RESOURCES.secrets, { namespace, name }) });
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return undefined;
    throw error;
  }
}
