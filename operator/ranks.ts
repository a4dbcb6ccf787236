import { remove } from '../kube/apply.ts';
import type { KubeClient } from '../kube/client.ts';
import { type KubeObject, type OwnerReference, pathOf, RESOURCES } from '../kube/object.ts';
import { reflect } from '../kube/reflector.ts';
import { createWorkqueue } from '../kube/workqueue.ts';
import type { Log } from '../program/log.ts';
import { canonicalJson } from '../proxy/config/encode.ts';
import { MAX_PROXIES, type ProxiesDocument } from '../proxy/config/schema.ts';
import { type Clock, createGate } from './pace.ts';
import { isNewer } from './published.ts';
import { FIELD_MANAGER, installLabels } from './published-object.ts';

const NAME = 'sluice-proxies';
const LABELS = { 'sluice.dev/config': 'proxies' };
const DATA_KEY = 'config.json';
const KEY = 'proxies';
/** Several proxies are often ready together, and an endpoint that moves between two slices is in none for a moment. */
const GATHER_MS = 100;
/** A rollout of many proxies is a write a second. */
const INTERVAL_MS = 1_000;

export interface RanksOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly install: string;
  /** What owns the list; undefined: nothing. */
  readonly root: () => OwnerReference | undefined;
  /** What the ready proxies call themselves, sorted. undefined: not known, the list stays as it stands. */
  readonly proxies: () => readonly string[] | undefined;
  /** Whether anything may be written now. */
  readonly isActive: () => boolean;
  readonly clock: Clock;
  readonly log: Log;
}

/** Keeps the published list of the ready proxies, from which each takes its rank and so its share of every limit. */
export interface Ranks {
  /** Something that `proxies`, `root` or `isActive` says changed. */
  readonly changed: () => void;
  /** Resolves when nothing is written any more. */
  readonly stop: () => Promise<void>;
}

/** The object of the name as it stands, as far as it matters. */
interface Present {
  readonly uid: string;
  readonly resourceVersion: string;
  readonly isOurs: boolean;
  readonly isLabelled: boolean;
  readonly text: string | undefined;
  readonly owners: readonly string[];
}

/** Starts at once; only a leader needs it. Where no proxy is ready there is no list: without one a proxy has all. */
export function publishRanks(options: RanksOptions): Ranks {
  const { client, namespace, log } = options;
  const gate = createGate(INTERVAL_MS, options.clock);
  let present: Present | undefined;
  let isComplained = false;

  const bring = async (): Promise<void> => {
    const ids = options.proxies();
    if (!options.isActive() || !watched.synced() || ids === undefined) return;
    if (isForeign() || isAsWanted(present, ids, options.root())) return;
    const waitMs = gate.waitMs(KEY);
    if (waitMs > 0) return queue.addAfter(KEY, waitMs);
    gate.passed(KEY, 1);
    if (ids.length > 0) take(await write(options, present, ids));
    else if (present !== undefined) await withdraw(present);
    log.info({ proxies: ids.length }, 'the list of proxies is published');
  };

  const isForeign = (): boolean => {
    const foreign = present !== undefined && !present.isOurs;
    if (foreign && !isComplained)
      log.warn({ configMap: `${namespace}/${NAME}` }, 'exists and is not ours: proxies do not share limits; delete it');
    isComplained = foreign;
    return foreign;
  };

  const take = (object: KubeObject): void => {
    const now = presentOf(object, options.install);
    if (present === undefined || isNewer(now, present)) present = now;
  };

  const withdraw = async ({ uid }: Present): Promise<void> => {
    await remove(client, RESOURCES.configMaps, { namespace, name: NAME }, { uid });
    if (present?.uid === uid) present = undefined;
  };

  const queue = createWorkqueue({ process: bring, concurrency: 1, log });
  const changed = (): void => queue.addAfter(KEY, GATHER_MS);
  const watched = reflect<Present>({
    ...{ client, namespace, log, resource: RESOURCES.configMaps, fieldSelector: `metadata.name=${NAME}` },
    project: (object) => presentOf(object, options.install),
    changed: (_, now, before) => {
      if (now !== undefined && (present === undefined || isNewer(now, present))) present = now;
      if (now === undefined && present?.uid === before?.uid) present = undefined;
      changed();
    },
  });
  void watched.whenSynced.then(changed);

  return {
    changed,
    stop: async () => {
      await Promise.all([queue.close(), watched.stop()]);
    },
  };
}

/** Makes the object, or replaces the very version we know of it. Throws ApiError. */
function write(options: RanksOptions, present: Present | undefined, ids: readonly string[]): Promise<KubeObject> {
  const { client, namespace } = options;
  const query = { fieldManager: FIELD_MANAGER };
  const body = objectFor(options, present, ids);
  if (present === undefined) {
    return client.call({ method: 'POST', path: pathOf(RESOURCES.configMaps, { namespace }), query, body });
  }
  const path = pathOf(RESOURCES.configMaps, { namespace, name: NAME });
  return client.call({ method: 'PATCH', path, query, contentType: 'application/merge-patch+json', body });
}

function objectFor(
  { namespace, install, root }: RanksOptions,
  present: Present | undefined,
  ids: readonly string[],
): KubeObject {
  const owner = root();
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: {
      ...{ name: NAME, namespace, labels: { ...installLabels(install), ...LABELS } },
      ...(present && { resourceVersion: present.resourceVersion }),
      ...(owner && { ownerReferences: [owner] }),
    },
    data: { [DATA_KEY]: textFor(ids) },
  };
}

/** Those beyond the bound count themselves as one more. */
function textFor(ids: readonly string[]): string {
  const document: ProxiesDocument = { format: 1, kind: 'Proxies', ids: ids.slice(0, MAX_PROXIES) };
  return canonicalJson(document);
}

function isAsWanted(present: Present | undefined, ids: readonly string[], root: OwnerReference | undefined): boolean {
  if (ids.length === 0 || present === undefined) return ids.length === 0 && present === undefined;
  const isOwned = root === undefined || present.owners.join() === root.uid;
  return present.isLabelled && isOwned && present.text === textFor(ids);
}

function presentOf({ metadata, ['data']: data }: KubeObject, install: string): Present {
  const { uid = '', resourceVersion = '', labels = {}, ownerReferences = [] } = metadata;
  const has = (wanted: Readonly<Record<string, string>>): boolean =>
    Object.entries(wanted).every(([key, value]) => labels[key] === value);
  const text = (data as Record<string, unknown> | undefined)?.[DATA_KEY];
  return {
    ...{ uid, resourceVersion },
    isOurs: has(installLabels(install)),
    isLabelled: has(LABELS),
    text: typeof text === 'string' ? text : undefined,
    owners: ownerReferences.map((reference) => reference.uid),
  };
}
