import type { ChildProcess } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { type Accounts, serviceAccounts, writeKubeconfig } from './apiserver-accounts.ts';
import { type AdminClient, openAdminClient } from './apiserver-client.ts';
import { end, logTail, prepareSite, type Site, startEtcd, startServer } from './apiserver-processes.ts';
import { eventually } from './eventually.ts';
import { temporaryFolder } from './reaper.ts';

/** A real kube-apiserver with its etcd: RBAC on, no controllers (nothing collects garbage, makes pods or endpoints). */
export interface ApiServer extends Omit<AdminClient, 'close'>, Accounts {
  /** https://127.0.0.1:PORT; the same after a restart. */
  readonly url: string;
  readonly port: number;
  readonly caFile: string;
  /** The path of a kubeconfig of system:masters; its context's namespace is `default`. */
  readonly kubeconfig: string;
  /** Ends the API server's process at once, connections are cut; etcd stays. `restart` brings it back. */
  readonly pause: () => Promise<void>;
  /** Ends the API server's process and starts it again: same port, same data, ready when this resolves. */
  readonly restart: () => Promise<void>;
  /** Ends both and removes their folder. */
  readonly stop: () => Promise<void>;
}

/** Starts a kube-apiserver on an etcd of its own (about 3 s). Both end with this process at the latest. */
export async function startApiServer(): Promise<ApiServer> {
  const folder = temporaryFolder('sluice-api');
  const site = await prepareSite(folder);
  const { caFile, adminToken, port } = site;
  const url = `https://127.0.0.1:${port}`;
  const etcd = await startEtcd(site);
  let server = startServer(site);
  const { close, ...client } = openAdminClient(url, caFile, adminToken);
  await whenReady(site, server, client);
  const access = { server: url, caFile, token: adminToken, namespace: 'default' };
  return {
    ...{ url, port, caFile },
    ...client,
    ...serviceAccounts(client, url, caFile, folder),
    kubeconfig: writeKubeconfig(join(folder, 'admin.conf'), access),
    pause: () => end(server),
    restart: async () => {
      await end(server);
      server = startServer(site);
      await whenReady(site, server, client);
    },
    stop: async () => {
      await Promise.all([close(), end(server), end(etcd)]);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function whenReady(site: Site, server: ChildProcess, client: Pick<AdminClient, 'call'>): Promise<void> {
  let gone = false;
  server.once('exit', () => {
    gone = true;
  });
  try {
    await eventually('kube-apiserver ready', async () => gone || (await client.call('GET', '/readyz')).status === 200, {
      timeoutMs: 90_000,
      intervalMs: 50,
    });
    if (gone) throw new Error('kube-apiserver ended');
  } catch (error) {
    throw new Error(`${logTail(site, 'etcd')}\n${logTail(site, 'kube-apiserver')}`, { cause: error });
  }
}
