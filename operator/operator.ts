import { lookup } from 'node:dns/promises';
import type { KubeClient } from '../kube/client.ts';
import type { OwnerReference } from '../kube/object.ts';
import { createWorkqueue } from '../kube/workqueue.ts';
import type { Log } from '../program/log.ts';
import { type Acknowledge, acknowledge } from './acknowledge.ts';
import { createController } from './controller.ts';
import { createEvents } from './events.ts';
import { createMetrics, type Metrics } from './metrics.ts';
import { createNames } from './names.ts';
import { createBucket, createGate } from './pace.ts';
import { createPublisher, type Publisher } from './publish.ts';
import { publishRanks, type Ranks } from './ranks.ts';
import { createReporter, type Reporter } from './report.ts';
import { createStatusWriter, type StatusWriter } from './status.ts';
import { createStore, type Store, type StoreEvents } from './store.ts';
import type { TranslateOptions } from './translate/resources.ts';
import { createWriter } from './writer.ts';

export interface OperatorOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  /** Empty: all. */
  readonly watchNamespaces: readonly string[];
  readonly sidecarNamespaces: readonly string[];
  /** Empty: all. */
  readonly globalNamesFrom: readonly string[];
  readonly allowUpstream: readonly string[];
  /** Empty: there is no central proxy. */
  readonly proxyService: string;
  readonly owner: string;
  /** This operator's own name. */
  readonly instance: string;
  readonly log: Log;
  /** What a test may replace: a monotonic clock and one since 1970, both in ms, chance, and ids of credentials. */
  readonly clock?: () => number;
  readonly now?: () => number;
  readonly random?: () => number;
  readonly newId?: () => string;
}

export interface Operator {
  readonly store: Store;
  readonly metrics: Metrics;
  /** From now on it writes; once. */
  readonly lead: () => void;
  /** Resolves when nothing is written any more. */
  readonly stop: () => Promise<void>;
}

/** CONTRACT §2.6. */
const STATUS_PACE = { burst: 3, intervalMs: 1_000 };
/** One per reason of a CR. */
const EVENT_PACE = { burst: 1, intervalMs: 300_000 };
/** Five writes a second. */
const ENDPOINTS_INTERVAL_MS = 200;
/** Mostly waiting for the API server. */
const CONCURRENCY = 8;

/** Wires an operator. It reads from now on, and writes from `lead` on, once every kind has been read whole. */
export async function createOperator(given: OperatorOptions): Promise<Operator> {
  const options: Settled = { ...DEFAULTS, ...given };
  const { client, log, clock } = options;
  const translate = await translateOptions(options);
  const stage: Stage = { leading: false, hearing: undefined, ranks: undefined };
  const isActive = (): boolean => stage.leading && store.synced() && store.root().state !== 'gone';
  const enqueue = (keys: Iterable<string>): void => {
    if (isActive()) for (const key of keys) queue.add(key);
  };
  const enqueueAll = (): void => {
    enqueue(new Set([...store.keys(), ...store.published.keys()]));
    stage.ranks?.changed();
  };

  const store: Store = createStore({
    ...options,
    events: {
      resourceChanged: (key) => {
        names.invalidate();
        reporter.changed(key, revisionOf(options, store, key));
        enqueue([key]);
      },
      // Our own writes come back as well.
      statusChanged: (resource) => statuses.isOthers(resource) && enqueue([resource.key]),
      inputsChanged: enqueue,
      publishedChanged: enqueue,
      namesChanged: () => names.invalidate(),
      groundChanged: () => {
        names.invalidate('ground');
        if (store.root().state === 'gone') log.warn({ configMap: options.owner }, GONE);
        enqueueAll();
      },
    } satisfies StoreEvents,
  });
  const names = createNames(store.inputs.resources, translate, enqueue);
  const metrics = metricsOf(store);
  const statuses = createStatusWriter({ client, bucket: createBucket(STATUS_PACE, clock) });
  const reporter = reporterOf(options, statuses, metrics, stage);
  const queue = createWorkqueue({
    process: createController({
      ...{ client, store, names, translate, reporter, metrics, log, clock, isActive },
      publisher: publisherOf(options, store),
      watchNamespaces: options.watchNamespaces,
      again: (key, ms) => queue.addAfter(key, ms),
    }),
    concurrency: CONCURRENCY,
    log,
  });
  const heard = (key: string | undefined): void => {
    if (isActive()) enqueue(staleKeys(options, store, reporter, key));
  };
  return {
    ...{ store, metrics },
    lead: () => {
      stage.leading = true;
      stage.hearing = acknowledge({ ...options, changed: heard, proxiesChanged: () => stage.ranks?.changed() });
      stage.ranks = ranksOf(options, store, stage, isActive);
      metrics.leader.set(1);
      void store.whenSynced.then(() => {
        log.info({ resources: [...store.keys()].length }, 'every kind has been read');
        enqueueAll();
      });
    },
    stop: async () => {
      stage.leading = false;
      await Promise.all([queue.close(), stage.ranks?.stop(), stage.hearing?.stop(), store.stop()]);
    },
  };
}

const GONE = 'what owns all that is published is gone: nothing is published until it is back';

const DEFAULTS = {
  clock: () => performance.now(),
  now: () => Date.now(),
  random: () => Math.random(),
  newId: () => crypto.randomUUID(),
};

type Settled = OperatorOptions & Required<Pick<OperatorOptions, keyof typeof DEFAULTS>>;

interface Stage {
  leading: boolean;
  hearing: Acknowledge | undefined;
  ranks: Ranks | undefined;
}

function metricsOf(store: Store): Metrics {
  const { published, lastEventAges } = store;
  return createMetrics({ publishedDocuments: () => published.names.size, lastEventAges });
}

function reporterOf(options: Settled, statuses: StatusWriter, metrics: Metrics, stage: Stage): Reporter {
  const events = createEvents({ ...options, bucket: createBucket(EVENT_PACE, options.clock) });
  return createReporter({ ...options, ...{ statuses, events, metrics }, acknowledge: () => stage.hearing });
}

function ranksOf(options: Settled, store: Store, stage: Stage, isActive: () => boolean): Ranks {
  const proxies = (): readonly string[] | undefined => stage.hearing?.proxies();
  return publishRanks({ ...options, install: options.owner, root: rootOf(options, store), proxies, isActive });
}

/** What owns all that is published in the operator's own namespace. */
function rootOf({ owner }: Settled, { root }: Store): () => OwnerReference | undefined {
  return () => {
    const now = root();
    return now.state === 'present' ? { apiVersion: 'v1', kind: 'ConfigMap', name: owner, uid: now.uid } : undefined;
  };
}

function publisherOf(options: Settled, store: Store): Publisher {
  const { client, namespace, owner, sidecarNamespaces, newId, clock } = options;
  const { published } = store;
  return createPublisher({
    ...{ published, namespace, newId, install: owner, root: rootOf(options, store) },
    writer: createWriter({ client, published, install: owner }),
    sidecarNamespaces: new Set(sidecarNamespaces),
    gate: createGate(ENDPOINTS_INTERVAL_MS, clock),
  });
}

/** What proxies say concerns only CRs whose status says otherwise. `key` undefined: any of them. */
function staleKeys(options: Settled, store: Store, reporter: Reporter, key: string | undefined): readonly string[] {
  const keys = key === undefined ? [...store.keys()] : [key];
  return keys.filter((one) => {
    const resource = store.get(one);
    return resource !== undefined && reporter.isStale(resource, revisionOf(options, store, one));
  });
}

function revisionOf({ namespace }: Settled, { published }: Store, key: string): string | undefined {
  return published.of(key).find((object) => object.part === 'config' && object.namespace === namespace)?.digest;
}

async function translateOptions({ client, allowUpstream, globalNamesFrom }: Settled): Promise<TranslateOptions> {
  const host = new URL(client.server).hostname.replace(/^\[|\]$/g, '');
  // No answer now is no reason not to start; the name itself is refused in any case.
  const found = await lookup(host, { all: true }).catch(() => []);
  return {
    allowUpstream,
    apiServerAddresses: [...new Set([host, ...found.map(({ address }) => address)])],
    globalNamesFrom: globalNamesFrom.length > 0 ? new Set(globalNamesFrom) : undefined,
    standalone: false,
  };
}
