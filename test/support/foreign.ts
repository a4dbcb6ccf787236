import type { ApiServer } from './apiserver.ts';
import { ensureNamespace } from './apiserver-client.ts';

/** What a used cluster carries that is none of Sluice's business. */
export interface Foreign {
  readonly pods: number;
  readonly secrets: number;
  /** Of the data of all Secrets together. */
  readonly secretBytes: number;
  readonly endpointSlices: number;
}

export const FOREIGN: Foreign = { pods: 20_000, secrets: 5_000, secretBytes: 100 * 1024 ** 2, endpointSlices: 5_000 };

const NAMESPACES = 20;
/** Creates on their way at once; more only queue inside the server. */
const PARALLEL = 48;

interface Create {
  readonly path: string;
  readonly object: object;
}

/** Fills the API server, spread over the namespaces foreign-0 … foreign-19, and gives the seconds it took. */
export async function fillForeign(api: Pick<ApiServer, 'call'>, foreign: Foreign = FOREIGN): Promise<number> {
  const begin = performance.now();
  for (let index = 0; index < NAMESPACES; index++) await ensureNamespace(api, `foreign-${index}`);
  const creates = everything(foreign);
  const work = async () => {
    for (const { path, object } of creates) {
      const { status, body } = await api.call('POST', path, object);
      if (status !== 201 && status !== 409) throw new Error(`POST ${path}: ${status} ${JSON.stringify(body)}`);
    }
  };
  // All take from the one generator.
  await Promise.all(Array.from({ length: PARALLEL }, work));
  const seconds = (performance.now() - begin) / 1000;
  const { pods, secrets, endpointSlices } = foreign;
  process.stdout.write(
    `foreign: ${pods} Pods, ${secrets} Secrets, ${endpointSlices} EndpointSlices in ${seconds.toFixed(0)} s\n`,
  );
  return seconds;
}

function* everything({ pods, secrets, secretBytes, endpointSlices }: Foreign): Generator<Create> {
  const value = Buffer.alloc(Math.ceil(secretBytes / Math.max(1, secrets)), 'x').toString('base64');
  for (let index = 0; index < secrets; index++) {
    yield { path: `/api/v1/namespaces/${namespaceOf(index)}/secrets`, object: secret(index, value) };
  }
  for (let index = 0; index < endpointSlices; index++) {
    const path = `/apis/discovery.k8s.io/v1/namespaces/${namespaceOf(index)}/endpointslices`;
    yield { path, object: endpointSlice(index) };
  }
  for (let index = 0; index < pods; index++) {
    yield { path: `/api/v1/namespaces/${namespaceOf(index)}/pods`, object: pod(index) };
  }
}

function namespaceOf(index: number): string {
  return `foreign-${index % NAMESPACES}`;
}

function secret(index: number, value: string) {
  return { metadata: { name: `secret-${index}`, labels: { app: `app-${index % 500}` } }, data: { value } };
}

function endpointSlice(index: number) {
  const endpoints = Array.from({ length: 5 }, (_, at) => ({
    addresses: [`10.${(index >> 8) % 256}.${index % 256}.${at + 1}`],
    conditions: { ready: true, serving: true, terminating: false },
    targetRef: { kind: 'Pod', name: `pod-${index}-${at}`, namespace: namespaceOf(index) },
  }));
  return {
    metadata: { name: `slice-${index}`, labels: { 'kubernetes.io/service-name': `service-${index}` } },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
    endpoints,
  };
}

function pod(index: number) {
  const labels = { app: `app-${index % 500}`, 'pod-template-hash': `hash-${index % 700}`, team: `team-${index % 30}` };
  const env = Array.from({ length: 8 }, (_, at) => ({ name: `VARIABLE_${at}`, value: `value-${index}-${at}` }));
  const resources = { requests: { cpu: '100m', memory: '128Mi' }, limits: { memory: '256Mi' } };
  const ports = [{ name: 'http', containerPort: 8080 }];
  return {
    metadata: { name: `pod-${index}`, labels },
    spec: {
      nodeName: `node-${index % 300}`,
      containers: [{ name: 'app', image: 'registry.example/app:1.2.3', env, ports, resources }],
    },
  };
}
