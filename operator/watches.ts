import type { KubeClient } from '../kube/client.ts';
import type { KubeObject, Resource } from '../kube/object.ts';
import { type Reflector, reflect } from '../kube/reflector.ts';
import type { Log } from '../program/log.ts';

export interface Selection {
  /** Absent: all. */
  readonly namespace?: string | undefined;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
}

/** Several reflectors that start and end together. */
export interface Watches {
  /** Follows a resource; resolves when it has been read whole. */
  readonly watch: <T>(
    resource: Resource,
    selection: Selection,
    project: (object: KubeObject) => T | undefined,
    changed: (key: string, now: T | undefined, before: T | undefined) => void,
  ) => Promise<void>;
  /** What has not been read whole yet, as `pods in ml`. */
  readonly missing: () => readonly string[];
  readonly lastEventAges: () => readonly { readonly resource: string; readonly seconds: number }[];
  readonly stop: () => Promise<void>;
}

export function createWatches(client: KubeClient, log: Log): Watches {
  const watched: { readonly name: string; readonly resource: string; readonly reflector: Reflector<unknown> }[] = [];
  return {
    watch: (resource, selection, project, changed) => {
      const reflector = reflect({ ...selection, client, log, resource, project, changed });
      const where = selection.namespace === undefined ? '' : ` in ${selection.namespace}`;
      watched.push({ name: `${resource.plural}${where}`, resource: resource.plural, reflector });
      return reflector.whenSynced;
    },
    missing: () => watched.filter(({ reflector }) => !reflector.synced()).map(({ name }) => name),
    lastEventAges: () =>
      watched.map(({ resource, reflector }) => ({ resource, seconds: reflector.lastEventAgeSeconds() })),
    stop: async () => {
      await Promise.all(watched.map(({ reflector }) => reflector.stop()));
    },
  };
}
