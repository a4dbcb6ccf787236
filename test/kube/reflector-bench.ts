import { afterEach } from 'vitest';
import type { KubeClient } from '../../kube/client.ts';
import { type KubeObject, RESOURCES } from '../../kube/object.ts';
import { type ReflectOptions, type Reflector, type ReflectorTimings, reflect } from '../../kube/reflector.ts';
import type { ApiServer } from '../support/apiserver.ts';
import { eventually } from '../support/eventually.ts';
import type { FaultAnswer } from '../support/fault-proxy.ts';
import { clientBench } from './client-bench.ts';
import { type RecordedLog, recordLog } from './recorded-log.ts';

/** What is kept of a ConfigMap here: equal only if really the same version of the same data. */
export interface Kept {
  readonly version: string;
  readonly data: unknown;
}

export interface Change {
  readonly key: string;
  readonly now: Kept | undefined;
  readonly before: Kept | undefined;
}

export interface Followed {
  readonly reflector: Reflector<Kept>;
  readonly changes: Change[];
  readonly log: RecordedLog;
  /** Waits until the reflector holds exactly what a fresh list gives, and was told of exactly that. */
  readonly complete: (timeoutMs?: number) => Promise<void>;
}

/** Watches of a second and pauses of milliseconds, so that a test of a stall takes two seconds and not a minute. */
const SHORT: Partial<ReflectorTimings> = {
  watchMinSeconds: 1,
  watchMaxSeconds: 1,
  watchGraceMs: 400,
  backoffMinMs: 20,
  backoffMaxMs: 200,
};

/** A watch that answers with this one event and ends. */
export function watchLine(type: string, object: object): FaultAnswer {
  return { status: 200, body: `${JSON.stringify({ type, object })}\n` };
}

/** One API server behind one fault proxy for a file of tests, and ConfigMaps in a namespace of each test's own. */
export function reflectorBench() {
  const bench = clientBench();
  const running: Reflector<Kept>[] = [];
  let made = 0;
  const requests = (namespace: string, kind: 'list' | 'watch'): string[] => {
    const lines = bench.proxy.seen.map(({ line }) => line).filter((line) => line.includes(`/${namespace}/configmaps`));
    return lines.filter((line) => line.includes('watch=true') === (kind === 'watch'));
  };
  afterEach(async () => {
    bench.proxy.resume();
    await Promise.all(running.splice(0).map((reflector) => reflector.stop()));
  });
  return {
    bench,
    requests,
    watching: (namespace: string): Promise<unknown> =>
      eventually('a watch is open', () => requests(namespace, 'watch').length > 0),
    newNamespace: async (): Promise<string> => {
      const name = `t${made++}`;
      await bench.api.call('POST', '/api/v1/namespaces', { metadata: { name } });
      return name;
    },
    put: (namespace: string, name: string, value: string): Promise<unknown> =>
      bench.api.apply({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace }, data: { value } }),
    drop: (namespace: string, name: string): Promise<unknown> =>
      bench.api.call('DELETE', `/api/v1/namespaces/${namespace}/configmaps/${name}`),
    follow: (namespace: string, options: Partial<ReflectOptions<Kept>> = {}): Followed => {
      const followed = follow(bench.api, bench.client, namespace, options);
      running.push(followed.reflector);
      return followed;
    },
  };
}

function follow(
  api: ApiServer,
  client: KubeClient,
  namespace: string,
  options: Partial<ReflectOptions<Kept>>,
): Followed {
  const changes: Change[] = [];
  const told = new Map<string, Kept>();
  const log = recordLog();
  const { timings, ...rest } = options;
  const reflector = reflect<Kept>({
    client,
    resource: RESOURCES.configMaps,
    namespace,
    project: keep,
    changed: (key, now, before) => {
      changes.push({ key, now, before });
      if (now) told.set(key, now);
      else told.delete(key);
    },
    log,
    ...rest,
    timings: { ...SHORT, ...timings },
  });
  const complete = async (timeoutMs = 10_000): Promise<void> => {
    await eventually(
      `items of ${namespace} as a fresh list has them`,
      async () => {
        const list = await api.read<{ items: KubeObject[] }>(`/api/v1/namespaces/${namespace}/configmaps`);
        const fresh = JSON.stringify(list.items.map((object) => [object.metadata.name, keep(object)]).sort());
        return fresh === stateOf(reflector.items) && fresh === stateOf(told);
      },
      { timeoutMs },
    );
  };
  return { reflector, changes, log, complete };
}

function keep(object: KubeObject): Kept {
  return { version: object.metadata.resourceVersion ?? '', data: object['data'] };
}

function stateOf(items: ReadonlyMap<string, Kept>): string {
  return JSON.stringify([...items].map(([key, kept]) => [key.split('/')[1], kept]).sort());
}
