import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Agent, request } from 'undici';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type ApiServer, startApiServer } from './apiserver.ts';
import { eventually } from './eventually.ts';

let api: ApiServer;
beforeAll(async () => {
  api = await startApiServer();
});
afterAll(() => api.stop());

const configMap = (name: string) => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, namespace: 'ml' },
  data: { a: '1' },
});

test('apply stores an object, makes its namespace, and read gives it back', async () => {
  await api.apply(configMap('one'));
  expect(await api.read('/api/v1/namespaces/ml/configmaps/one')).toMatchObject({ data: { a: '1' } });
});

test('apply throws with the words of the server', async () => {
  await expect(api.apply({ ...configMap('two'), dta: {} })).rejects.toThrow(/dta/);
});

test('a service account may do what its Role says, and nothing else', async () => {
  await api.apply({
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'Role',
    metadata: { name: 'reader', namespace: 'ml' },
    rules: [{ apiGroups: [''], resources: ['configmaps'], verbs: ['get'] }],
  });
  await api.apply({
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'RoleBinding',
    metadata: { name: 'reader', namespace: 'ml' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'reader' },
    subjects: [{ kind: 'ServiceAccount', name: 'proxy', namespace: 'ml' }],
  });
  const env = await api.podEnv('ml', 'proxy');
  const dir = env['SLUICE_SERVICE_ACCOUNT_DIR'] ?? '';
  expect(readFileSync(join(dir, 'namespace'), 'utf8')).toBe('ml');
  const dispatcher = new Agent({ connect: { ca: readFileSync(join(dir, 'ca.crt')) } });
  const status = async (path: string) => {
    const headers = { authorization: `Bearer ${readFileSync(join(dir, 'token'), 'utf8')}` };
    const url = `https://${env['KUBERNETES_SERVICE_HOST']}:${env['KUBERNETES_SERVICE_PORT']}${path}`;
    return (await request(url, { dispatcher, headers })).statusCode;
  };
  expect(await status('/api/v1/namespaces/ml/configmaps/none')).toBe(404);
  expect(await status('/api/v1/namespaces/ml/secrets/none')).toBe(403);
  await dispatcher.destroy();
});

test('objects are there after a restart on the same port', async () => {
  await api.apply(configMap('kept'));
  await api.pause();
  await expect(api.call('GET', '/readyz')).rejects.toThrow();
  await api.restart();
  expect(await api.read('/api/v1/namespaces/ml/configmaps/kept')).toMatchObject({ data: { a: '1' } });
});

test('what a killed test process started is gone after it, folders too', () => {
  const script = `
    import { startApiServer } from ${JSON.stringify(new URL('apiserver.ts', import.meta.url).href)};
    const api = await startApiServer();
    process.stdout.write(api.kubeconfig);
    process.kill(process.pid, 'SIGKILL');`;
  let out = '';
  try {
    execFileSync(process.execPath, ['--input-type=module', '-e', script]);
  } catch (error) {
    out = String((error as { stdout: Buffer }).stdout);
  }
  expect(out).toContain('admin.conf');
  return eventually('the folder is gone', () => !existsSync(out));
});
