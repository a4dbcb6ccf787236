import { lookup } from 'node:dns/promises';
import type { KubeClient } from '../kube/client.ts';
import type { OwnerReference } from '../kube/object.ts';
import { createWorkqueue, type Workqueue } from '../kube/workqueue.ts';
import type { Log } from '../program/log.ts';
import { type Acknowledge, acknowledge } from './acknowledge.ts';
import { createController } from './controller.ts';
import { createEvents } from './events.ts';
import { createMetrics, type Metrics } from './metrics.ts';
import { createNames } from './names.ts';
import { createBucket, createGate } from './pace.ts';
import { createPublisher } from './publish.ts';
import { createReporter } from './report.ts';
import { createStatusWriter } from './status.ts';
import { createStore, type Store } from './store.ts';
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

/** CONTRACT §2.6 and §2.4; Events: issue's one per reason in 5 min. */
const STATUS_PACE = { burst: 3, intervalMs: 1_000 };
const EVENT_PACE = { burst: 1, intervalMs: 300_000 };
const ENDPOINTS_INTERVAL_MS = 200;
/** Mostly waiting for the API server. */
const CONCURRENCY = 8;

const GONE = 'what owns all that is published is gone: nothing is published until it is back';

/** Wires an operator. It reads from now on, and writes from `lead` on, once every kind has been read whole. */
export async function createOperator(options: OperatorOptions): Promise<Operator> {
  const { client, log, namespace, owner, proxyService } = options;
  const clock = options.clock ?? (() => performance.now());
  const now = options.now ?? Date.now;
  const random = options.random ?? Math.random;
  const newId = options.newId ?? (() => crypto.randomUUID());
  const translate = await translateOptions(options);
  let leading = false;
  let hearing: Acknowledge | undefined;

  const enqueue = (keys: Iterable<string>): void => {
    if (active()) for (const key of keys) queue.add(key);
  };
  const enqueueAll = (): void => enqueue(new Set([...store.keys(), ...store.published.keys()]));
  const store = createStore({
    ...options,
    events: {
      resourceChanged: (key) => {
        names.invalidate();
        reporter.changed(key, revisionOf(key));
        enqueue([key]);
      },
      statusChanged: (resource) => {
        // Our own writes come back as well.
        if (statuses.standing(resource) === resource.status) enqueue([resource.key]);
      },
      inputsChanged: enqueue,
      publishedChanged: enqueue,
      namesChanged: () => names.invalidate(),
      groundChanged: () => {
        names.invalidate('ground');
        if (store.root().state === 'gone') log.warn({ configMap: `${namespace}/${owner}` }, GONE);
        enqueueAll();
      },
    },
  });
  const active = (): boolean => leading && store.synced() && store.root().state !== 'gone';
  const revisionOf = (key: string): string | undefined =>
    store.published.of(key).find((object) => object.part === 'config' && object.namespace === namespace)?.digest;
  const names = createNames(store.inputs.resources, translate, enqueue);
  const metrics = createMetrics({
    publishedDocuments: () => store.published.names.size,
    lastEventAges: store.lastEventAges,
  });
  metrics.leader.set(0);
  const statuses = createStatusWriter({ client, bucket: createBucket(STATUS_PACE, clock) });
  const events = createEvents({
    ...{ client, log, now, random },
    instance: options.instance,
    bucket: createBucket(EVENT_PACE, clock),
  });
  const reporter = createReporter({
    ...{ statuses, events, metrics, proxyService, clock, now },
    acknowledge: () => hearing,
  });
  const { published } = store;
  const publisher = createPublisher({
    ...{ published, namespace, newId, install: owner },
    writer: createWriter({ client, published, install: owner }),
    sidecarNamespaces: new Set(options.sidecarNamespaces),
    root: () => ownerReference(store, owner),
    gate: createGate(ENDPOINTS_INTERVAL_MS, clock),
  });
  const process = createController({
    ...{ client, store, names, translate, publisher, reporter, metrics, active, log, clock },
    watchNamespaces: options.watchNamespaces,
    queue: () => queue,
  });
  const queue: Workqueue = createWorkqueue({ process, concurrency: CONCURRENCY, log });

  /** What proxies say concerns only CRs whose status says otherwise. */
  const heard = (key: string | undefined): void => {
    if (!active()) return;
    const keys = key === undefined ? [...store.keys()] : [key];
    enqueue(
      keys.filter((one) => {
        const resource = store.get(one);
        return resource !== undefined && reporter.isStale(resource, revisionOf(one));
      }),
    );
  };

  const stopping = new AbortController();
  return {
    store,
    metrics,
    lead: () => {
      leading = true;
      metrics.leader.set(1);
      hearing = acknowledge({ ...{ client, namespace, proxyService, log, clock }, changed: heard });
      void store.whenSynced.then(() => {
        if (stopping.signal.aborted) return;
        log.info({ resources: [...store.keys()].length }, 'every kind has been read: publishing');
        enqueueAll();
      });
    },
    stop: async () => {
      stopping.abort();
      leading = false;
      await Promise.all([queue.close(), hearing?.stop(), store.stop()]);
    },
  };
}

function ownerReference(store: Store, name: string): OwnerReference | undefined {
  const root = store.root();
  return root.state === 'present' ? { apiVersion: 'v1', kind: 'ConfigMap', name, uid: root.uid } : undefined;
}

async function translateOptions({
  client,
  allowUpstream,
  globalNamesFrom,
}: OperatorOptions): Promise<TranslateOptions> {
  const { hostname } = new URL(client.server);
  const host = hostname.replace(/^\[|\]$/g, '');
  // No answer now is no reason not to start; the name itself is refused in any case.
  const found = await lookup(host, { all: true }).catch(() => []);
  return {
    allowUpstream,
    apiServerAddresses: [...new Set([host, ...found.map(({ address }) => address)])],
    globalNamesFrom: globalNamesFrom.length > 0 ? new Set(globalNamesFrom) : undefined,
    standalone: false,
  };
}
