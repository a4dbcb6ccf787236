import type { Condition } from '../../crds/status.ts';
import type { KubeObject } from '../../kube/object.ts';
import { type ApiServer, startApiServer } from '../support/apiserver.ts';
import { renderChart } from '../support/chart.ts';
import { eventually } from '../support/eventually.ts';
import { machineAddress } from '../support/machine-address.ts';
import { type Program, startOperator } from '../support/program.ts';

export interface SiteOptions {
  /** Chart values: its Roles and CRDs are what the operators run with. */
  readonly values?: object;
}

/** An API server with the chart on it, but for its Deployments, which nothing would run here. */
export interface Site {
  readonly api: ApiServer;
  /** An operator with the chart's account. `server`: another address of the API server, as a fault proxy's. */
  readonly operator: (options?: OperatorFlags) => Promise<Program>;
  readonly stop: () => Promise<void>;
}

export interface OperatorFlags {
  readonly args?: readonly string[];
  readonly server?: string;
  readonly until?: 'ready' | 'live' | 'started';
}

export async function startSite({ values = {} }: SiteOptions = {}): Promise<Site> {
  const api = await startApiServer();
  for (const object of await renderChart(values)) if (object.kind !== 'Deployment') await api.apply(object);
  return {
    api,
    operator: async ({ args = [], server, until = 'ready' } = {}) =>
      startOperator({
        args: ['--allow-upstream=127.0.0.0/8', ...args],
        env: await api.podEnv('sluice', 'sluice-operator', server),
        until,
      }),
    stop: api.stop,
  };
}

export interface Backend {
  readonly name: string;
  readonly [field: string]: unknown;
}

export function pool(namespace: string, name: string, spec: object = {}): KubeObject {
  const backends: Backend[] = [{ name: 'a', url: 'https://models.example.com/v1' }];
  return {
    apiVersion: 'sluice.dev/v1alpha1',
    kind: 'LLMPool',
    metadata: { namespace, name },
    spec: { backends, ...spec },
  };
}

export function secret(namespace: string, name: string, values: Record<string, string>, labelled = true): KubeObject {
  const labels = labelled ? { 'sluice.dev/credential': 'true' } : {};
  return { apiVersion: 'v1', kind: 'Secret', metadata: { namespace, name, labels }, stringData: values };
}

export function service(namespace: string, name: string, port = 8000): KubeObject {
  const spec = { clusterIP: 'None', ports: [{ name: 'http', port }] };
  return { apiVersion: 'v1', kind: 'Service', metadata: { namespace, name }, spec };
}

export function slice(namespace: string, name: string, addresses: readonly string[], over: object = {}): KubeObject {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { namespace, name: `${name}-1`, labels: { 'kubernetes.io/service-name': name } },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 8000, protocol: 'TCP' }],
    endpoints: addresses.map((address) => ({ addresses: [address], conditions: { ready: true } })),
    ...over,
  };
}

/** The central proxies, one slice each: all are on this machine, and a slice has one port for all its endpoints. */
export function proxySlice(port: number, isReady: boolean): KubeObject {
  const { metadata, ...rest } = slice('sluice', 'sluice-proxy-admin', [], {
    ports: [{ name: 'admin', port, protocol: 'TCP' }],
    endpoints: [{ addresses: [machineAddress()], conditions: { ready: isReady } }],
  });
  return { ...rest, metadata: { ...metadata, name: `sluice-proxy-admin-${port}` } };
}

export interface PoolStatus {
  readonly observedGeneration: number;
  readonly conditions: readonly Condition[];
  readonly models: readonly string[];
  readonly endpoints: number;
  readonly readyEndpoints: number;
  readonly ready: string;
  readonly revision?: string;
}

const POOLS = '/apis/sluice.dev/v1alpha1';

export function poolPath(namespace: string, name: string): string {
  return `${POOLS}/namespaces/${namespace}/llmpools/${name}`;
}

export async function statusOf(api: ApiServer, namespace: string, name: string): Promise<PoolStatus | undefined> {
  const object = await api.read(poolPath(namespace, name));
  return object['status'] as PoolStatus | undefined;
}

/** `Reason` where True, `!Reason` where False, by condition type. */
export function reasonsOf(status: PoolStatus | undefined): Record<string, string> {
  const all = status?.conditions ?? [];
  return Object.fromEntries(all.map(({ type, status: is, reason }) => [type, is === 'True' ? reason : `!${reason}`]));
}

/** The status once it is about the present generation and `holds`. */
export function whenStatus(
  api: ApiServer,
  namespace: string,
  name: string,
  holds: (reasons: Record<string, string>, status: PoolStatus) => boolean = () => true,
): Promise<PoolStatus> {
  return eventually(`status of ${namespace}/${name}`, async () => {
    const object = await api.read(poolPath(namespace, name));
    const status = object['status'] as PoolStatus | undefined;
    if (status === undefined || status.observedGeneration !== object.metadata.generation) return undefined;
    return holds(reasonsOf(status), status) ? status : undefined;
  });
}

export interface PublishedObjects {
  readonly config: KubeObject | undefined;
  readonly endpoints: readonly KubeObject[];
  readonly credentials: KubeObject | undefined;
}

/** What stands published for a CR in a namespace, whoever made it. */
export async function publishedFor(api: ApiServer, key: string, namespace = 'sluice'): Promise<PublishedObjects> {
  const list = async (plural: string) =>
    (await api.read<{ items: KubeObject[] }>(`/api/v1/namespaces/${namespace}/${plural}`)).items.filter(
      ({ metadata }) => metadata.annotations?.['sluice.dev/for'] === key,
    );
  const [maps, secrets] = await Promise.all([list('configmaps'), list('secrets')]);
  return {
    config: maps.find(({ metadata }) => metadata.labels?.['sluice.dev/config'] !== undefined),
    endpoints: maps.filter(({ metadata }) => metadata.labels?.['sluice.dev/endpoints'] !== undefined),
    credentials: secrets[0],
  };
}

/** The text and the JSON of a published document. */
export function documentOf(object: KubeObject | undefined, key = 'config.json'): Record<string, unknown> {
  return JSON.parse(textOf(object, key)) as Record<string, unknown>;
}

export function textOf(object: KubeObject | undefined, key = 'config.json'): string {
  const text = (object?.['data'] as Record<string, string> | undefined)?.[key] ?? '';
  return object?.kind === 'Secret' || key === 'credentials.json' ? Buffer.from(text, 'base64').toString() : text;
}
