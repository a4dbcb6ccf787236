import { isIP } from 'node:net';
import type { KubeObject } from '../../kube/object.ts';
import type { PodFacts, PortFacts, SecretFacts, ServiceFacts, SliceFacts } from './resources.ts';
import { type Fields, fieldsOf, listOf, portOf, textMapOf, textOf, textsOf } from './untrusted.ts';

/** What translate reads of objects of the cluster. undefined: of no interest. None of these throws. */

export function serviceFacts(object: KubeObject): ServiceFacts | undefined {
  const { name, namespace } = placeOf(object);
  if (name === '') return undefined;
  const spec = fieldsOf(object['spec']);
  const single = textOf(spec['clusterIP']);
  const clusterIPs = Array.isArray(spec['clusterIPs']) ? textsOf(spec['clusterIPs']) : [single];
  return {
    namespace,
    name,
    type: textOf(spec['type']) || 'ClusterIP',
    family: textsOf(spec['ipFamilies'])[0] === 'IPv6' ? 'IPv6' : 'IPv4',
    clusterIPs: clusterIPs.filter((address) => isIP(address) !== 0),
    ports: portsOf(spec['ports'], 'port'),
  };
}

/** A slice of names instead of addresses (type FQDN) has no endpoint. */
export function sliceFacts(object: KubeObject): SliceFacts | undefined {
  const { name, namespace } = placeOf(object);
  const service = textOf(fieldsOf(fieldsOf(object.metadata)['labels'])['kubernetes.io/service-name']);
  if (name === '' || service === '') return undefined;
  const endpoints = listOf(object['endpoints']).map(endpointOf);
  return {
    namespace,
    name,
    service,
    ports: portsOf(object['ports'], 'port'),
    endpoints: endpoints.filter(({ addresses }) => addresses.length > 0),
  };
}

/** By the API's own words an absent `ready` means true, an absent `serving` what `ready` says. */
function endpointOf(endpoint: Fields): SliceFacts['endpoints'][number] {
  const conditions = fieldsOf(endpoint['conditions']);
  const ready = conditions['ready'] !== false;
  const { serving } = conditions;
  return {
    addresses: textsOf(endpoint['addresses']).filter((address) => isIP(address) !== 0),
    ready,
    serving: typeof serving === 'boolean' ? serving : ready,
    terminating: conditions['terminating'] === true,
  };
}

export function podFacts(object: KubeObject): PodFacts | undefined {
  const { name, namespace } = placeOf(object);
  if (name === '') return undefined;
  const metadata = fieldsOf(object.metadata);
  const status = fieldsOf(object['status']);
  const ip = textOf(status['podIP']);
  const deleting = metadata['deletionTimestamp'] !== undefined;
  return {
    namespace,
    name,
    labels: textMapOf(metadata['labels']),
    ip: isIP(ip) === 0 ? '' : ip,
    ready: !deleting && conditionOf(status, 'Ready')?.['status'] === 'True',
    gone: deleting || status['phase'] === 'Succeeded' || status['phase'] === 'Failed',
    ports: containersOf(fieldsOf(object['spec'])).flatMap(({ ports }) => portsOf(ports, 'containerPort')),
    reason: reasonOf(status),
  };
}

/** Init containers that go on running (sidecars) may serve too. */
function containersOf(spec: Fields): readonly Fields[] {
  const sidecars = listOf(spec['initContainers']).filter(({ restartPolicy }) => restartPolicy === 'Always');
  return [...listOf(spec['containers']), ...sidecars];
}

/** What a pod on its way to Ready waits for; it is no fault. */
const ON_THE_WAY = new Set(['ContainerCreating', 'PodInitializing']);
/** As conditions spell a reason. */
const REASON = /^[A-Za-z]([A-Za-z0-9_,:]{0,1000}[A-Za-z0-9_])?$/;

function reasonOf(status: Fields): string {
  const scheduled = conditionOf(status, 'PodScheduled');
  const unscheduled = scheduled?.['status'] === 'False' ? [textOf(scheduled['reason'])] : [];
  const containers = [...listOf(status['initContainerStatuses']), ...listOf(status['containerStatuses'])];
  const waiting = containers.map(({ state }) => textOf(fieldsOf(fieldsOf(state)['waiting'])['reason']));
  const reasons = [...unscheduled, ...waiting].filter((reason) => REASON.test(reason) && !ON_THE_WAY.has(reason));
  // The two take turns while an image cannot be pulled; one word keeps the condition still.
  return reasons[0] === 'ErrImagePull' ? 'ImagePullBackOff' : (reasons[0] ?? '');
}

function conditionOf(status: Fields, type: string): Fields | undefined {
  return listOf(status['conditions']).find((condition) => condition['type'] === type);
}

export function secretFacts(object: KubeObject): SecretFacts | undefined {
  const { name, namespace } = placeOf(object);
  return name === '' ? undefined : { namespace, name, data: textMapOf(object['data']) };
}

function placeOf(object: KubeObject): { readonly name: string; readonly namespace: string } {
  const { name, namespace } = fieldsOf(object.metadata);
  return { name: textOf(name), namespace: textOf(namespace) };
}

/** TCP only. */
function portsOf(value: unknown, field: string): readonly PortFacts[] {
  return listOf(value)
    .filter(({ protocol }) => protocol === undefined || protocol === null || protocol === 'TCP')
    .flatMap((entry) => {
      const port = portOf(entry[field]);
      return port === undefined ? [] : [{ name: textOf(entry['name']), port }];
    });
}
