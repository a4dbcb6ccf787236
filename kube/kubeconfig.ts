import { readFile } from 'node:fs/promises';
import type { RequestOptions } from 'node:https';
import { delimiter, dirname, resolve } from 'node:path';
import type { KubeConfig } from '@kubernetes/client-node';
import type { CredentialSource, Credentials, TlsSettings } from './credentials.ts';

/**
 * The current context of a kubeconfig (several files, as KUBECONFIG may list, are merged: the first one's context
 * counts). The files are loaded again only after a refusal, for that runs an exec plugin again; until then client-node
 * remembers the plugin's answer as long as that says.
 */
export function kubeconfigCredentials(paths: string): CredentialSource {
  const files = paths.split(delimiter).filter((path) => path !== '');
  let loaded: KubeConfig | undefined;
  return async (refused) => {
    if (refused || !loaded) loaded = await loadFiles(files);
    const config = loaded;
    const cluster = config.getCurrentCluster();
    if (!cluster) throw new Error(`kubeconfig ${paths}: its current context names no cluster; set current-context`);
    if (cluster.proxyUrl) throw new Error(`kubeconfig ${paths}: proxy-url of cluster ${cluster.name} is not supported`);
    const options = await authenticate(config, paths);
    const tokenFile = await tokenFileHeader(files, config.getCurrentUser()?.name);
    return {
      server: cluster.server.replace(/\/+$/, ''),
      namespace: config.getContextObject(config.currentContext)?.namespace ?? 'default',
      headers: { ...headersOf(options), ...tokenFile },
      tls: tlsOf(options),
    };
  };
}

async function loadFiles(files: readonly string[]): Promise<KubeConfig> {
  const { KubeConfig } = await import('@kubernetes/client-node');
  const merged = new KubeConfig();
  for (const file of files) {
    const one = new KubeConfig();
    try {
      one.loadFromFile(file);
    } catch (error) {
      throw new Error(`cannot read kubeconfig ${file}: ${describe(error)}`);
    }
    merged.mergeConfig(one, Boolean(merged.currentContext));
  }
  return merged;
}

/** The parser's message quotes the lines around a fault, which may hold a token: only where it is is told. */
function describe(error: unknown): string {
  const { code, mark } = error as { code?: string; mark?: { line?: number } };
  if (code !== undefined) return code;
  return mark?.line === undefined ? 'it is no valid kubeconfig' : `line ${mark.line + 1} is no valid YAML`;
}

async function authenticate(config: KubeConfig, paths: string): Promise<RequestOptions> {
  const options: RequestOptions = {};
  try {
    await config.applyToHTTPSOptions(options);
  } catch {
    // A plugin's output or stderr may hold the token it was asked for.
    const user = config.getCurrentUser();
    const command: unknown = user?.exec?.command;
    const how = typeof command === 'string' ? `run its exec plugin ${command} by hand` : 'check its files';
    throw new Error(`kubeconfig ${paths}: user ${user?.name ?? ''} gives no credentials; ${how} to see why`);
  }
  return options;
}

function headersOf(options: RequestOptions): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(options.headers ?? {})) headers[name.toLowerCase()] = String(value).trim();
  if (typeof options.auth === 'string') {
    headers['authorization'] = `Basic ${Buffer.from(options.auth).toString('base64')}`;
  }
  return headers;
}

function tlsOf(options: RequestOptions): TlsSettings {
  return {
    ...(options.ca !== undefined && { ca: options.ca as Buffer }),
    ...(options.cert !== undefined && { cert: options.cert as Buffer }),
    ...(options.key !== undefined && { key: options.key as Buffer }),
    ...(options.servername !== undefined && { servername: options.servername }),
    ...(options.rejectUnauthorized !== undefined && { rejectUnauthorized: options.rejectUnauthorized }),
  };
}

/** kubectl's `tokenFile`, which client-node 2.0.1 does not know (it reads a `token-file` instead). */
async function tokenFileHeader(files: readonly string[], user: string | undefined): Promise<Credentials['headers']> {
  const { loadYaml } = await import('@kubernetes/client-node');
  for (const file of files) {
    const raw = loadYaml<{ users?: { name?: string; user?: { tokenFile?: string } }[] }>(await readFile(file, 'utf8'));
    const path = raw.users?.find((entry) => entry.name === user)?.user?.tokenFile;
    if (path === undefined) continue;
    const token = await readFile(resolve(dirname(file), path), 'utf8').catch((error: NodeJS.ErrnoException) => {
      throw new Error(
        `kubeconfig ${file}: cannot read tokenFile ${path} of user ${user} (${error.code ?? error.name})`,
      );
    });
    return { authorization: `Bearer ${token.trim()}` };
  }
  return {};
}
