import { execFile } from 'node:child_process';
import { chmodSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { rootCertificates } from 'node:tls';
import { inspect, promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { type KubeClient, openClient } from '../../kube/client.ts';
import { CONFIG_MAPS, clientBench, failure } from './client-bench.ts';

const bench = clientBench();

/** A second kubeconfig beside the first, changed. */
function kubeconfigWith(name: string, change: (config: Kubeconfig) => void): string {
  const config = JSON.parse(readFileSync(bench.kubeconfig, 'utf8')) as Kubeconfig;
  change(config);
  const path = join(bench.kubeconfig, '..', name);
  writeFileSync(path, JSON.stringify(config));
  return path;
}

interface Kubeconfig {
  clusters: [{ cluster: Record<string, unknown> }];
  users: [{ name: string; user: Record<string, unknown> }];
  contexts: [{ context: Record<string, unknown> }];
}

async function expectCalls(options: Parameters<typeof openClient>[0]): Promise<KubeClient> {
  const opened = await openClient(options);
  const list = await opened.call<{ kind: string }>({ path: CONFIG_MAPS });
  expect(list.kind).toBe('ConfigMapList');
  await opened.close();
  return opened;
}

describe('a client with a kubeconfig', () => {
  test('takes the kubeconfig of its option before that of the environment', async () => {
    const opened = await expectCalls({ kubeconfig: bench.kubeconfig, env: { KUBECONFIG: '/nowhere' } });
    expect(opened.server).toBe(bench.proxy.url);
    expect(opened.namespace).toBe('models');
  });

  test('takes several kubeconfigs from KUBECONFIG and merges them', async () => {
    const users = kubeconfigWith('users.conf', (config) => {
      config.clusters.pop();
      config.contexts.pop();
    });
    const clusters = kubeconfigWith('clusters.conf', (config) => void config.users.pop());
    await expectCalls({ env: { KUBECONFIG: `${users}:${clusters}` } });
  });

  test('takes a token file of a kubeconfig, and reads it again when its token is refused', async () => {
    const token = (JSON.parse(readFileSync(bench.kubeconfig, 'utf8')) as Kubeconfig).users[0].user['token'] as string;
    writeFileSync(join(bench.kubeconfig, '..', 'token'), 'stale');
    const path = kubeconfigWith('token-file.conf', (config) => {
      config.users[0].user = { tokenFile: 'token' };
    });
    const opened = await openClient({ kubeconfig: path, env: {} });
    expect((await failure(opened.call({ path: CONFIG_MAPS }))).status).toBe(401);
    writeFileSync(join(bench.kubeconfig, '..', 'token'), token);
    await opened.call({ path: CONFIG_MAPS });
    await opened.close();
  });

  test('takes the token of an exec plugin, runs it once, and again when its token is refused', async () => {
    const token = (JSON.parse(readFileSync(bench.kubeconfig, 'utf8')) as Kubeconfig).users[0].user['token'] as string;
    const plugin = join(bench.kubeconfig, '..', 'plugin.sh');
    const runs = join(bench.kubeconfig, '..', 'plugin.runs');
    const credential = (value: string) =>
      JSON.stringify({
        apiVersion: 'client.authentication.k8s.io/v1',
        kind: 'ExecCredential',
        status: { token: value },
      });
    writeFileSync(plugin, `#!/bin/sh\necho run >>${runs}\ncat ${plugin}.json\n`);
    writeFileSync(`${plugin}.json`, credential('stale'));
    chmodSync(plugin, 0o755);
    const path = kubeconfigWith('exec.conf', (config) => {
      config.users[0].user = { exec: { apiVersion: 'client.authentication.k8s.io/v1', command: plugin, args: [] } };
    });
    const opened = await openClient({ kubeconfig: path, env: {} });
    writeFileSync(`${plugin}.json`, credential(token));
    for (let n = 0; n < 3; n++) await opened.call({ path: CONFIG_MAPS });
    await opened.close();
    expect(readFileSync(runs, 'utf8')).toBe('run\nrun\n');
  });

  test('takes a TLS server name, and refuses a server whose certificate it does not know', async () => {
    await expectCalls({
      env: {},
      kubeconfig: kubeconfigWith('name.conf', ({ clusters: [{ cluster }] }) => {
        cluster['tls-server-name'] = 'kubernetes.default.svc';
      }),
    });
    const opened = await openClient({
      env: {},
      kubeconfig: kubeconfigWith('unknown-ca.conf', ({ clusters: [{ cluster }] }) => {
        delete cluster['certificate-authority'];
      }),
    });
    const error = await failure(opened.call({ path: CONFIG_MAPS }));
    expect([error.status, error.reason]).toEqual([0, 'Unreachable']);
    await opened.close();
  });

  test.each([
    ['missing', () => '/nowhere/config', /^cannot read kubeconfig \/nowhere\/config: ENOENT$/],
    ['not YAML', () => text('a: [sEcReT\nb: }'), /^cannot read kubeconfig .*: line 2 is no valid YAML$/],
    ['empty', () => text(''), /^cannot read kubeconfig .*: it is no valid kubeconfig$/],
    [
      'of another shape',
      () => text('users: 7'),
      /^kubeconfig .*: its current context names no cluster; set current-context$/,
    ],
  ])('says what is wrong with a kubeconfig that is %s', async (_what, path, message) => {
    await expect(openClient({ kubeconfig: path(), env: {} })).rejects.toThrow(message);
  });

  test('says to look at the exec plugin, and not what it printed', async () => {
    const plugin = join(bench.kubeconfig, '..', 'broken.sh');
    writeFileSync(plugin, '#!/bin/sh\necho sEcReT not json\necho sEcReT >&2\n');
    chmodSync(plugin, 0o755);
    const path = kubeconfigWith('broken.conf', (config) => {
      config.users[0].user = { exec: { apiVersion: 'client.authentication.k8s.io/v1', command: plugin, args: [] } };
    });
    const error: unknown = await openClient({ kubeconfig: path, env: {} }).catch((reason: unknown) => reason);
    expect(String(error)).toMatch(/user test gives no credentials; run its exec plugin .*broken.sh by hand/);
    expect(String(error)).not.toContain('sEcReT');
  });
});

function text(content: string): string {
  const path = join(bench.kubeconfig, '..', `broken-${Math.random()}.conf`);
  writeFileSync(path, content);
  return path;
}

describe("a client with the pod's own account", () => {
  test('calls with three files and two variables, without loading client-node', async () => {
    const env = await bench.api.podEnv('models', 'client', bench.proxy.url);
    const script = `
      import { openClient } from ${JSON.stringify(join(import.meta.dirname, '../../kube/client.ts'))};
      const client = await openClient({ env: process.env });
      const { kind } = await client.call({ path: '${CONFIG_MAPS}' });
      await client.close();
      process.stdout.write(JSON.stringify({ kind, namespace: client.namespace, server: client.server }));`;
    // The permission model says which files a process may read: client-node's are not among them.
    const root = join(import.meta.dirname, '../..');
    const allowed = ['kube', 'program/undici.ts', 'package.json', 'node_modules/undici'].map(
      (path) => `--allow-fs-read=${join(root, path)}`,
    );
    const dir = env['SLUICE_SERVICE_ACCOUNT_DIR'] ?? '';
    const ran = await promisify(execFile)(
      process.execPath,
      ['--permission', ...allowed, `--allow-fs-read=${dir}`, '--input-type=module', '-e', script],
      { env, cwd: root },
    );
    expect(ran.stderr).toBe('');
    expect(JSON.parse(ran.stdout)).toEqual({ kind: 'ConfigMapList', namespace: 'models', server: bench.proxy.url });
  });

  test('reads a rotated token when the old one is refused, and calls again', async () => {
    const env = await bench.api.podEnv('models', 'client', bench.proxy.url);
    const tokenFile = join(env['SLUICE_SERVICE_ACCOUNT_DIR'] ?? '', 'token');
    const token = readFileSync(tokenFile, 'utf8');
    writeFileSync(tokenFile, 'stale');
    const client = await openClient({ env });
    writeFileSync(tokenFile, token);
    const from = bench.proxy.seen.length;

    const lists = await Promise.all([1, 2, 3].map(() => client.call({ path: CONFIG_MAPS })));

    expect(lists).toHaveLength(3);
    const sent = bench.proxy.seen.slice(from).map(({ authorization }) => authorization);
    expect(sent.filter((value) => value === 'Bearer stale').length).toBeLessThanOrEqual(3);
    expect(sent.filter((value) => value === `Bearer ${token}`)).toHaveLength(3);
    const stream = await client.open({ path: CONFIG_MAPS, query: { watch: 'true' } });
    stream.destroy();
    await client.close();
  });

  test('gives up after one more call when the new token is refused too, and never shows a token', async () => {
    const env = await bench.api.podEnv('models', 'client', bench.proxy.url);
    writeFileSync(join(env['SLUICE_SERVICE_ACCOUNT_DIR'] ?? '', 'token'), 'sEcReT');
    const client = await openClient({ env });
    const from = bench.proxy.seen.length;

    const error = await failure(client.call({ path: CONFIG_MAPS }));

    expect([error.status, error.reason]).toEqual([401, 'Unauthorized']);
    expect(inspect(error)).not.toContain('sEcReT');
    expect(bench.proxy.seen.length - from).toBe(2);
    await client.close();
  });

  test('reads its files again after a minute, and goes on with what it has while they cannot be read', async () => {
    const env = await bench.api.podEnv('models', 'client', bench.proxy.url);
    const dir = env['SLUICE_SERVICE_ACCOUNT_DIR'] ?? '';
    const token = readFileSync(join(dir, 'token'), 'utf8');
    let nowMs = 0;
    const client = await openClient({ env, clock: () => nowMs });
    const lastToken = () => bench.proxy.seen.at(-1)?.authorization;

    const second = await bench.api.token('models', 'client', 7200);
    writeFileSync(join(dir, 'token'), second);
    nowMs = 59_999;
    await client.call({ path: CONFIG_MAPS });
    expect(lastToken()).toBe(`Bearer ${token}`);
    nowMs = 60_000;
    await client.call({ path: CONFIG_MAPS });
    expect(lastToken()).toBe(`Bearer ${second}`);

    rmSync(join(dir, 'token'));
    nowMs = 120_000;
    await client.call({ path: CONFIG_MAPS });
    expect(lastToken()).toBe(`Bearer ${second}`);
    await client.close();
  });

  test('trusts a new certificate authority after a minute', async () => {
    const env = await bench.api.podEnv('models', 'client', bench.proxy.url);
    const caFile = join(env['SLUICE_SERVICE_ACCOUNT_DIR'] ?? '', 'ca.crt');
    const good = readFileSync(caFile, 'utf8');
    writeFileSync(caFile, rootCertificates[0] ?? '');
    let nowMs = 0;
    const client = await openClient({ env, clock: () => nowMs });
    expect((await failure(client.call({ path: CONFIG_MAPS }))).reason).toBe('Unreachable');

    writeFileSync(caFile, good);
    nowMs = 60_000;
    await client.call({ path: CONFIG_MAPS });
    await client.close();
  });

  test.each([
    [
      'folder',
      {},
      /^cannot read \/nowhere\/token of the pod's account \(ENOENT\): outside a cluster give --kubeconfig/,
    ],
    ['address', { KUBERNETES_SERVICE_HOST: '' }, /^KUBERNETES_SERVICE_HOST is not set/],
  ])('says what is missing where there is no %s', async (what, change, message) => {
    const env = await bench.api.podEnv('models', 'client', bench.proxy.url);
    const serviceAccountDir = what === 'folder' ? '/nowhere' : undefined;
    await expect(openClient({ serviceAccountDir, env: { ...env, ...change } })).rejects.toThrow(message);
  });

  test('writes an IPv6 address of the API server as a URL does', async () => {
    const env = await bench.api.podEnv('models', 'client', bench.proxy.url);
    const client = await openClient({ env: { ...env, KUBERNETES_SERVICE_HOST: 'fd00::1' } });
    expect(client.server).toBe(`https://[fd00::1]:${env['KUBERNETES_SERVICE_PORT']}`);
    await client.close();
  });
});
