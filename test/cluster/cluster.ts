import type { KubeObject } from '../../kube/object.ts';
import { proxySlice, type Site, startSite } from '../operator/site.ts';
import { type Foreign, fillForeign } from '../support/foreign.ts';
import { freePort } from '../support/ports.ts';
import { type Program, type ServingProgram, startProxy } from '../support/program.ts';
import { temporaryFolder } from '../support/reaper.ts';

/** Sluice as a chart would run it, as processes on a real API server: an operator and two central proxies. */
export interface Cluster extends Site {
  readonly operatorProgram: Program;
  readonly proxies: readonly ServingProgram[];
  readonly urls: readonly string[];
  /** Where each proxy is and what it runs with, to start it again. */
  readonly places: readonly ProxyPlace[];
  /** Bytes, once all had read what there is, before any call. */
  readonly restingMemory: { readonly operator: number; readonly proxies: readonly number[] };
}

export interface ClusterOptions {
  /** What the API server carries besides; default nothing. */
  readonly foreign?: Foreign;
  readonly proxies?: number;
}

/** Models run on this machine here, which no pod's do. */
const LOCAL = '--allow-upstream=127.0.0.0/8';

export async function startCluster({ foreign, proxies = 2 }: ClusterOptions = {}): Promise<Cluster> {
  const site = await startSite();
  if (foreign !== undefined) await fillForeign(site.api, foreign);
  const places = await Promise.all(Array.from({ length: proxies }, () => proxyPlace(site)));
  const running = await Promise.all(places.map(startCentralProxy));
  for (const { adminUrl } of running) await site.api.apply(proxySlice(Number(new URL(adminUrl).port), true));
  const operatorProgram = await site.operator();
  return {
    ...site,
    operatorProgram,
    proxies: running,
    ...{ urls: running.map(({ httpUrl }) => httpUrl), places },
    restingMemory: {
      operator: operatorProgram.rssBytes(),
      proxies: running.map((proxy) => proxy.rssBytes()),
    },
    stop: async () => {
      await Promise.all([operatorProgram.stop(), ...running.map((proxy) => proxy.stop())]);
      await site.stop();
    },
  };
}

export interface ProxyPlace {
  readonly http: number;
  readonly admin: number;
  readonly snapshotDir: string;
  /** A pod's environment, with the account that the chart gives it. */
  readonly env: Readonly<Record<string, string>>;
}

async function proxyPlace({ api }: Site): Promise<ProxyPlace> {
  return {
    ...{ http: await freePort(), admin: await freePort(), snapshotDir: temporaryFolder('sluice-snapshot') },
    env: await api.podEnv('sluice', 'sluice-proxy'),
  };
}

/** A central proxy, its admin door on every address: the operator comes by an EndpointSlice. */
export function startCentralProxy({ http, admin, snapshotDir, env }: ProxyPlace): Promise<ServingProgram> {
  return startProxy({
    ports: { http, admin },
    env,
    args: ['--config-namespace=sluice', `--snapshot-dir=${snapshotDir}`, `--admin-address=0.0.0.0:${admin}`, LOCAL],
  });
}

/** A Pod as the API server keeps it; `ready` is set by a patch of its status, as a kubelet would. */
export function podOf(namespace: string, name: string, labels: Record<string, string>, port: number): KubeObject {
  return {
    ...{ apiVersion: 'v1', kind: 'Pod', metadata: { namespace, name, labels } },
    spec: { containers: [{ name: 'model', image: 'model', ports: [{ name: 'http', containerPort: port }] }] },
  };
}

export function podStatus(ip: string, ready: boolean): object {
  return {
    status: {
      ...{ phase: 'Running', podIP: ip, podIPs: [{ ip }] },
      conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }],
    },
  };
}
