import type { Backend } from '../../crds/llm-pool.ts';
import type { EndpointEntry } from '../../proxy/config/schema.ts';
import type { Problem } from './problem.ts';
import type { PodFacts, PortFacts, Resources, ServiceFacts, SliceFacts } from './resources.ts';

/** Where a backend's endpoints are, before anything is said about whether they may be called. */
export type Place = Omit<EndpointEntry, 'backend'>;

export interface Found {
  readonly places: readonly Place[];
  /** Pods that are not ready and say why. */
  readonly waiting: readonly PodFacts[];
}

type ServiceTarget = NonNullable<Backend['service']>;
type PodsTarget = NonNullable<Backend['pods']>;

/** The addresses behind a Service, or its cluster address. */
export function findBehindService(
  { name, port, via }: ServiceTarget,
  namespace: string,
  { services, slices }: Resources,
): Found | Problem {
  const service = services.get(`${namespace}/${name}`);
  if (service === undefined) return problem('ServiceNotFound', `Service '${name}' is not in namespace ${namespace}`);
  if (service.type === 'ExternalName') {
    return problem('UnsupportedService', `Service '${name}' is of type ExternalName: set url instead`);
  }
  const servicePort = service.ports.find((known) => known.port === port || known.name === port);
  if (servicePort === undefined) return problem('PortNotFound', noPort(name, port, service.ports));
  if (via === 'ClusterIP') return clusterAddress(service, servicePort);
  const places = (slices.get(`${namespace}/${name}`) ?? []).flatMap((slice) => placesIn(slice, servicePort.name));
  return { places: oncePerAddress(ofOneFamily(places, service.family)), waiting: [] };
}

function noPort(name: string, port: number | string, known: readonly PortFacts[]): string {
  const list = known.map((one) => (one.name === '' ? `${one.port}` : `${one.port} (${one.name})`)).join(', ');
  return `Service '${name}' has no TCP port ${port}; it has ${list || 'none'}`;
}

/** Whether something answers there is the mesh's to know: it counts as one ready endpoint. */
function clusterAddress({ name, clusterIPs }: ServiceFacts, { port }: PortFacts): Found | Problem {
  const [address] = clusterIPs;
  if (address !== undefined) return { places: [{ address, port, ready: true }], waiting: [] };
  return problem('UnsupportedService', `Service '${name}' has no cluster address: set via to Endpoints`);
}

/** One that goes away and no longer serves is no endpoint; one that still serves keeps its calls in flight. */
function placesIn({ ports, endpoints }: SliceFacts, portName: string): Place[] {
  const numbers = ports.filter(({ name }) => name === portName).map(({ port }) => port);
  const standing = endpoints.filter(({ ready, serving, terminating }) => ready || serving || !terminating);
  return standing.flatMap(({ addresses: [address], ready }) =>
    address === undefined ? [] : numbers.map((port) => ({ address, port, ready })),
  );
}

/** Of a dual-stack Service each server has two addresses, and would count twice. */
function ofOneFamily(places: readonly Place[], family: ServiceFacts['family']): readonly Place[] {
  const preferred = places.filter(({ address }) => address.includes(':') === (family === 'IPv6'));
  return preferred.length > 0 ? preferred : places;
}

/** While an endpoint moves between slices it is in two of them. */
function oncePerAddress(places: readonly Place[]): Place[] {
  const once = new Map<string, Place>();
  for (const place of places) {
    const key = `${place.address} ${place.port}`;
    once.set(key, { ...place, ready: place.ready || once.get(key)?.ready === true });
  }
  return [...once.values()];
}

/** The Pods a selector finds that have an address and stay. */
export function findPods({ selector, port }: PodsTarget, namespace: string, { pods }: Resources): Found | Problem {
  const wanted = Object.entries(selector.matchLabels);
  const isSelected = ({ gone, labels }: PodFacts): boolean =>
    !gone && wanted.every(([name, value]) => Object.hasOwn(labels, name) && labels[name] === value);
  const selected = (pods.get(namespace) ?? []).filter(isSelected);
  const open = selected.filter((pod) => portOfPod(pod, port) !== undefined);
  if (selected.length > 0 && open.length === 0) {
    const labels = wanted.map(([name, value]) => `${name}=${value}`).join(',');
    return problem('PortNotFound', `no Pod with ${labels} has a container port named '${port}'`);
  }
  const places = open.flatMap((pod) => {
    const number = portOfPod(pod, port);
    return pod.ip === '' || number === undefined ? [] : [{ address: pod.ip, port: number, ready: pod.ready }];
  });
  return { places: oncePerAddress(places), waiting: selected.filter(({ ready, reason }) => !ready && reason !== '') };
}

function portOfPod({ ports }: PodFacts, port: number | string): number | undefined {
  return typeof port === 'number' ? port : ports.find(({ name }) => name === port)?.port;
}

function problem(reason: Problem['reason'], message: string): Problem {
  return { reason, message };
}
