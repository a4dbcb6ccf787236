import type { KubeClient } from '../kube/client.ts';
import { RESOURCES } from '../kube/object.ts';
import { type Reflector, reflect } from '../kube/reflector.ts';
import type { Log } from '../program/log.ts';
import { Agent } from '../program/undici.ts';
import { type ConfigReport, ownerKey } from '../proxy/config/schema.ts';
import { followConfig } from './config-stream.ts';
import type { Clock } from './pace.ts';
import type { ProxyWord } from './programmed.ts';
import { distinctProxies, type ReadyProxy, readyProxies } from './proxies.ts';

/** CONTRACT §2.2: after its own start the operator changes no Programmed for longer than this. */
const SETTLE_MS = 10_000;
/** A stream that is cut is there again in less: nobody's share should change for that. */
const FORGET_AFTER_MS = 10_000;

/** What the ready central proxies say they serve. */
export interface Acknowledge {
  readonly words: (key: string) => readonly ProxyWord[];
  /** Each ready proxy was heard since the start, or 10 s went by. */
  readonly settled: () => boolean;
  /** What the ready proxies that can be heard call themselves, sorted; undefined: that is not known yet. */
  readonly proxies: () => readonly string[] | undefined;
  readonly stop: () => Promise<void>;
}

export interface AcknowledgeOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  /** Empty: there are none by design. */
  readonly proxyService: string;
  /** What is said of this CR changed; undefined: of any. */
  readonly changed: (key: string | undefined) => void;
  /** What `proxies` gives may be another. */
  readonly proxiesChanged: () => void;
  /** A proxy whose stream was cut counts as one of them for so long. */
  readonly forgetAfterMs?: number;
  readonly log: Log;
  readonly clock?: Clock;
}

interface Follower {
  readonly proxy: ReadyProxy;
  /** By ownerKey. */
  reports: Map<string, ConfigReport>;
  isHeard: boolean;
  /** What the proxy calls itself; undefined: it cannot be heard, or does not say. */
  name: string | undefined;
  forgetting: NodeJS.Timeout | undefined;
  readonly stop: () => void;
}

/** Starts at once; only a leader needs it. */
export function acknowledge(options: AcknowledgeOptions): Acknowledge {
  const { clock = () => performance.now(), changed, proxiesChanged, proxyService } = options;
  const { forgetAfterMs = FORGET_AFTER_MS } = options;
  const startedAt = clock();
  const agent = new Agent({ connect: { timeout: 3_000 } });
  const followers = new Map<string, Follower>();
  let isSettled = proxyService === '';

  const settle = (): void => {
    if (isSettled) return;
    const isComplete = slices?.synced() === true && [...followers.values()].every(({ isHeard }) => isHeard);
    if (!isComplete && clock() - startedAt < SETTLE_MS) return;
    isSettled = true;
    clearTimeout(timer);
    changed(undefined);
    proxiesChanged();
  };
  const timer = setTimeout(settle, SETTLE_MS + 10);

  const follow = (proxy: ReadyProxy): void => {
    let arriving: Map<string, ConfigReport> | undefined;
    let arrivingName: string | undefined;
    const { stop } = followConfig({
      origin: proxy.origin,
      agent,
      log: options.log,
      opened: (name) => {
        arriving = new Map();
        arrivingName = name;
      },
      report: (report) => {
        const key = ownerKey(report);
        record(arriving ?? follower.reports, key, report);
        if (arriving === undefined) changed(key);
      },
      heard: () => {
        follower.reports = arriving ?? follower.reports;
        arriving = undefined;
        follower.isHeard = true;
        setName(follower, arrivingName);
        settle();
        changed(undefined);
      },
      lost: () => {
        follower.forgetting ??= setTimeout(() => setName(follower, undefined), forgetAfterMs);
      },
    });
    const follower: Follower = {
      ...{ proxy, reports: new Map(), isHeard: false, stop },
      ...{ name: undefined, forgetting: undefined },
    };
    followers.set(proxy.id, follower);
  };

  const setName = (follower: Follower, name: string | undefined): void => {
    clearTimeout(follower.forgetting);
    follower.forgetting = undefined;
    follower.name = name;
    proxiesChanged();
  };

  const leave = ({ stop, forgetting }: Follower): void => {
    clearTimeout(forgetting);
    stop();
  };

  const takeSlices = (): void => {
    const now = distinctProxies(slices?.items.values() ?? []);
    for (const [id, follower] of followers) {
      if (now.get(id)?.origin === follower.proxy.origin) continue;
      leave(follower);
      followers.delete(id);
    }
    for (const [id, proxy] of now) if (!followers.has(id)) follow(proxy);
    settle();
    changed(undefined);
    proxiesChanged();
  };

  const slices = proxyService === '' ? undefined : watchSlices(options, takeSlices);
  void slices?.whenSynced.then(takeSlices);

  return {
    words: (key) =>
      [...followers.values()].map(({ proxy, reports }) => ({ address: proxy.origin, report: reports.get(key) })),
    settled: () => isSettled,
    proxies: () => (isSettled && slices?.synced() !== false ? namesOf([...followers.values()]) : undefined),
    stop: async () => {
      clearTimeout(timer);
      for (const follower of followers.values()) leave(follower);
      await Promise.all([slices?.stop(), agent.destroy()]);
    },
  };
}

/** Where none of them can be heard it is rather us who are cut off: then nobody is known to have gone. */
function namesOf(followers: readonly Follower[]): readonly string[] | undefined {
  const names = followers.flatMap(({ name }) => name ?? []);
  if (names.length === 0 && followers.length > 0) return undefined;
  return [...new Set(names)].sort();
}

function record(reports: Map<string, ConfigReport>, key: string, report: ConfigReport): void {
  if (report.state === 'removed') reports.delete(key);
  else reports.set(key, report);
}

function watchSlices({ client, namespace, proxyService, log }: AcknowledgeOptions, changed: () => void) {
  const slices: Reflector<readonly ReadyProxy[]> = reflect({
    ...{ client, namespace, log, changed },
    resource: RESOURCES.endpointSlices,
    labelSelector: `kubernetes.io/service-name=${proxyService}`,
    project: readyProxies,
  });
  return slices;
}
