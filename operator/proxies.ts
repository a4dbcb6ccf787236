import type { KubeObject } from '../kube/object.ts';

/** A ready central proxy. */
export interface ReadyProxy {
  /** The pod's uid where the slice says it: a dual-stack pod stands in two slices. */
  readonly id: string;
  /** `http://10.0.0.7:9000` */
  readonly origin: string;
}

interface Slice {
  readonly addressType?: string;
  readonly ports?: readonly { readonly name?: string; readonly port?: number }[] | null;
  readonly endpoints?: readonly {
    readonly addresses?: readonly string[];
    readonly conditions?: { readonly ready?: boolean };
    readonly targetRef?: { readonly uid?: string };
  }[];
}

const ADMIN_PORT = 'admin';

/** The ready endpoints of one EndpointSlice that have an admin port. */
export function readyProxies(object: KubeObject): readonly ReadyProxy[] {
  const { ports, endpoints = [] } = object as unknown as Slice;
  const port = (ports ?? []).find(({ name }) => name === ADMIN_PORT)?.port;
  if (port === undefined) return [];
  return endpoints.flatMap(({ addresses = [], conditions, targetRef }) => {
    const address = addresses[0];
    // An absent `ready` means ready.
    if (address === undefined || conditions?.ready === false) return [];
    const host = address.includes(':') ? `[${address}]` : address;
    const origin = `http://${host}:${port}`;
    return [{ id: targetRef?.uid ?? origin, origin }];
  });
}

/** Those of all slices, each once. */
export function distinctProxies(slices: Iterable<readonly ReadyProxy[]>): ReadonlyMap<string, ReadyProxy> {
  const all = [...slices].flat().sort((a, b) => (a.origin < b.origin ? -1 : 1));
  const byId = new Map<string, ReadyProxy>();
  for (const proxy of all) if (!byId.has(proxy.id)) byId.set(proxy.id, proxy);
  return byId;
}
