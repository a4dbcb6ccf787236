import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** The TLS settings that a kubeconfig or an account folder gives; node's own names for them. */
export interface TlsSettings {
  readonly ca?: string | Buffer;
  readonly cert?: string | Buffer;
  readonly key?: string | Buffer;
  readonly servername?: string;
  readonly rejectUnauthorized?: boolean;
}

/** All that is needed to call one API server: where it is, who we are, whom we trust. */
export interface Credentials {
  /** `https://host:port`, with the path prefix if the cluster has one; no trailing slash. */
  readonly server: string;
  readonly namespace: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly tls: TlsSettings;
}

/**
 * Reads the credentials. `refused` says that the last ones were: nothing remembered is used then.
 * Throws an Error that names the file and holds no text of it.
 */
export type CredentialSource = (refused: boolean) => Promise<Credentials>;

export const ACCOUNT_DIR = '/var/run/secrets/kubernetes.io/serviceaccount';

/**
 * The pod's own account: three files, and the API server's address in the environment. Read here and not by
 * client-node, whose import costs a proxy 80 MB.
 */
export function accountCredentials(dir: string, env: Record<string, string | undefined>): CredentialSource {
  return async () => {
    const [token, ca, namespace] = await Promise.all([
      readAccountFile(dir, 'token'),
      readAccountFile(dir, 'ca.crt'),
      readFile(join(dir, 'namespace'), 'utf8').catch(() => ''),
    ]);
    return {
      server: accountServer(env),
      namespace: namespace.trim() || 'default',
      headers: { authorization: `Bearer ${token.trim()}` },
      tls: { ca },
    };
  };
}

async function readAccountFile(dir: string, name: string): Promise<string> {
  const path = join(dir, name);
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new Error(
      `cannot read ${path} of the pod's account (${error.code ?? error.name}): outside a cluster give --kubeconfig or KUBECONFIG`,
    );
  });
  if (text.trim() === '') throw new Error(`${path} of the pod's account is empty`);
  return text;
}

function accountServer(env: Record<string, string | undefined>): string {
  const host = env['KUBERNETES_SERVICE_HOST'];
  const port = env['KUBERNETES_SERVICE_PORT'] ?? '443';
  if (!host) throw new Error("KUBERNETES_SERVICE_HOST is not set, but the pod's account needs it");
  return `https://${host.includes(':') ? `[${host}]` : host}:${port}`;
}
