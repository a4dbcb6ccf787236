import { afterAll, beforeAll, expect } from 'vitest';
import { ApiError } from '../../kube/api-error.ts';
import { type KubeClient, openClient } from '../../kube/client.ts';
import { type ApiServer, startApiServer } from '../support/apiserver.ts';
import { type FaultProxy, startFaultProxy } from '../support/fault-proxy.ts';

export const CONFIG_MAPS = '/api/v1/namespaces/default/configmaps';

export interface ClientBench {
  api: ApiServer;
  proxy: FaultProxy;
  /** Of an account that may do everything, through the proxy; its namespace is `models`. */
  kubeconfig: string;
  client: KubeClient;
}

/** One API server behind one fault proxy for a file of tests, and a client of an account that may do everything. */
export function clientBench(): ClientBench {
  const bench = {} as ClientBench;
  beforeAll(async () => {
    const api = await startApiServer();
    const proxy = await startFaultProxy(api);
    await api.apply({
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: { name: 'client' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
      subjects: [{ kind: 'ServiceAccount', name: 'client', namespace: 'models' }],
    });
    const kubeconfig = await api.kubeconfigFor('models', 'client', proxy.url);
    const client = await openClient({ kubeconfig, env: {} });
    Object.assign(bench, { api, proxy, kubeconfig, client });
  });
  afterAll(async () => {
    await bench.client.close();
    await bench.proxy.close();
    await bench.api.stop();
  });
  return bench;
}

/** Waits for the error of a call that has to fail, and gives it. */
export async function failure(call: Promise<unknown>): Promise<ApiError> {
  const error = await call.then(
    () => new Error('the call succeeded'),
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(ApiError);
  return error as ApiError;
}
