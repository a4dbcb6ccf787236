import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type AdminClient, ensureNamespace, mustSucceed } from './apiserver-client.ts';

type Client = Pick<AdminClient, 'call'>;

/** What runs as a service account: a real token, so that its Roles are what is tested. */
export interface Accounts {
  /** A token of that account from the TokenRequest API; namespace and account are made where they are missing. */
  readonly token: (namespace: string, account: string, seconds?: number) => Promise<string>;
  /** The path of a kubeconfig with such a token. `server`: another address for it, as of a fault proxy. */
  readonly kubeconfigFor: (namespace: string, account: string, server?: string) => Promise<string>;
  /** A folder with ca.crt, token and namespace, as a pod has. Writing a new `token` into it is a rotation. */
  readonly serviceAccountDir: (namespace: string, account: string) => Promise<string>;
  /** What a pod's environment says: the API server's host and port, the account's folder and the namespace. */
  readonly podEnv: (namespace: string, account: string, server?: string) => Promise<Record<string, string>>;
}

export function serviceAccounts(client: Client, url: string, caFile: string, folder: string): Accounts {
  let made = 0;
  const token: Accounts['token'] = async (namespace, account, seconds = 3600) => {
    await ensureAccount(client, namespace, account);
    const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${account}/token`;
    const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { expirationSeconds: seconds } };
    const answer = await client.call<{ status: { token: string } }>('POST', path, body);
    return mustSucceed(answer, `token for ${namespace}/${account}`).status.token;
  };
  const serviceAccountDir: Accounts['serviceAccountDir'] = async (namespace, account) => {
    const dir = join(folder, `account-${made++}`);
    mkdirSync(dir);
    writeFileSync(join(dir, 'ca.crt'), readFileSync(caFile));
    writeFileSync(join(dir, 'namespace'), namespace);
    writeFileSync(join(dir, 'token'), await token(namespace, account), { mode: 0o600 });
    return dir;
  };
  return {
    ...{ token, serviceAccountDir },
    kubeconfigFor: async (namespace, account, server = url) => {
      const access = { server, caFile, token: await token(namespace, account), namespace };
      return writeKubeconfig(join(folder, `account-${made++}.conf`), access);
    },
    podEnv: async (namespace, account, server = url) => ({
      KUBERNETES_SERVICE_HOST: new URL(server).hostname,
      KUBERNETES_SERVICE_PORT: new URL(server).port,
      SLUICE_SERVICE_ACCOUNT_DIR: await serviceAccountDir(namespace, account),
      POD_NAMESPACE: namespace,
    }),
  };
}

async function ensureAccount(client: Client, namespace: string, name: string): Promise<void> {
  await ensureNamespace(client, namespace);
  const answer = await client.call('POST', `/api/v1/namespaces/${namespace}/serviceaccounts`, { metadata: { name } });
  if (answer.status !== 409) mustSucceed(answer, `create ServiceAccount ${namespace}/${name}`);
}

/** Writes a kubeconfig of one cluster, one user, one context, and gives its path. */
export function writeKubeconfig(
  path: string,
  { server, caFile, token, namespace }: { server: string; caFile: string; token: string; namespace: string },
): string {
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'test', cluster: { server, 'certificate-authority': caFile } }],
    users: [{ name: 'test', user: { token } }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'test', namespace } }],
    'current-context': 'test',
  };
  writeFileSync(path, JSON.stringify(config), { mode: 0o600 });
  return path;
}
