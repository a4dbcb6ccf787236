/** What every object of the Kubernetes API has. Nothing beyond is trusted: a reader checks what it reads. */
export interface ObjectMeta {
  readonly name: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly generation?: number;
  readonly creationTimestamp?: string;
  readonly deletionTimestamp?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly ownerReferences?: readonly OwnerReference[];
}

export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean;
}

export interface KubeObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: ObjectMeta;
  readonly [field: string]: unknown;
}

/** A namespaced resource of the API, as its paths spell it. */
export interface Resource {
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
}

export const RESOURCES = {
  configMaps: { group: '', version: 'v1', plural: 'configmaps', kind: 'ConfigMap' },
  secrets: { group: '', version: 'v1', plural: 'secrets', kind: 'Secret' },
  services: { group: '', version: 'v1', plural: 'services', kind: 'Service' },
  pods: { group: '', version: 'v1', plural: 'pods', kind: 'Pod' },
  endpointSlices: { group: 'discovery.k8s.io', version: 'v1', plural: 'endpointslices', kind: 'EndpointSlice' },
  leases: { group: 'coordination.k8s.io', version: 'v1', plural: 'leases', kind: 'Lease' },
  events: { group: 'events.k8s.io', version: 'v1', plural: 'events', kind: 'Event' },
  llmPools: { group: 'sluice.dev', version: 'v1alpha1', plural: 'llmpools', kind: 'LLMPool' },
  embeddingInstances: {
    group: 'sluice.dev',
    version: 'v1alpha1',
    plural: 'embeddinginstances',
    kind: 'EmbeddingInstance',
  },
} as const satisfies Record<string, Resource>;

export interface PathParts {
  readonly namespace?: string | undefined;
  readonly name?: string | undefined;
  readonly subresource?: string | undefined;
}

/** The request path of a resource: the collection, or one object of it. No namespace: all of them. */
export function pathOf(resource: Resource, parts: PathParts = {}): string {
  const base = resource.group === '' ? `/api/${resource.version}` : `/apis/${resource.group}/${resource.version}`;
  const scope = parts.namespace === undefined ? '' : `/namespaces/${encodeURIComponent(parts.namespace)}`;
  const object = parts.name === undefined ? '' : `/${encodeURIComponent(parts.name)}`;
  const sub = parts.subresource === undefined ? '' : `/${parts.subresource}`;
  return `${base}${scope}/${resource.plural}${object}${sub}`;
}

/** `namespace/name`, the key of an object in every map. */
export function keyOf(object: KubeObject): string {
  return `${object.metadata.namespace ?? ''}/${object.metadata.name}`;
}
