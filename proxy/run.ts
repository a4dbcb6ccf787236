import { type KubeClient, openClient } from '../kube/client.ts';
import type { FlagSpec, Flags } from '../program/flag-spec.ts';
import { UsageError } from '../program/flags.ts';
import { createLog, type ProgramLog } from '../program/log.ts';
import { onTermination } from '../program/signals.ts';
import { flagsOrExit } from '../program/start.ts';
import { followApi } from './config/api.ts';
import type { Documents } from './config/documents.ts';
import { type ConfigFeed, followFolder } from './config/folder.ts';
import { DOOR_FLAGS, doorOptions } from './flags.ts';
import { startProxy } from './start.ts';

const FLAGS = {
  'config-namespace': { type: 'string', description: 'namespace whose published documents are watched' },
  'config-dir': { type: 'string', description: 'folder with published documents, in place of a namespace' },
  'snapshot-dir': { type: 'string', description: 'folder for the last good documents' },
  ...DOOR_FLAGS,
  kubeconfig: { type: 'string', description: 'kubeconfig file, else KUBECONFIG, else the account of the pod' },
} as const satisfies FlagSpec;

/** The proxy, from its flags to the end of the process. */
export async function run(env: Readonly<Record<string, string | undefined>>): Promise<void> {
  const flags = flagsOrExit('proxy', FLAGS);
  const log = createLog({ level: flags.logLevel, program: 'proxy' });
  try {
    await start(flags, env, log);
  } catch (error) {
    if (error instanceof UsageError) process.stderr.write(`${error.message}\n`);
    else log.error({ err: error }, 'the proxy cannot start');
    await log.flush();
    process.exit(error instanceof UsageError ? 2 : 1);
  }
}

async function start(
  flags: Flags<typeof FLAGS>,
  env: Readonly<Record<string, string | undefined>>,
  log: ProgramLog,
): Promise<void> {
  const { configNamespace, configDir, kubeconfig } = flags;
  if ((configNamespace === undefined) === (configDir === undefined)) {
    throw new UsageError('proxy: give either --config-namespace or --config-dir');
  }
  const client = configDir === undefined ? await openClient({ env, kubeconfig }) : undefined;
  const apiServer = apiServerHosts(env['KUBERNETES_SERVICE_HOST'], client);
  const proxy = await startProxy(doorOptions('proxy', flags, { log, allowLoopback: false, apiServer }));
  const feed = follow(flags, proxy.documents, client, log);
  const { httpPort, grpcPort, adminPort } = proxy;
  log.info({ httpPort, grpcPort, adminPort }, 'listening');
  onTermination(async () => {
    log.info({}, 'draining');
    await proxy.drain();
    await feed.stop();
    await client?.close();
    await log.flush();
  });
}

function follow(
  flags: Flags<typeof FLAGS>,
  documents: Documents,
  client: KubeClient | undefined,
  log: ProgramLog,
): ConfigFeed {
  const { configDir = '', configNamespace = '', snapshotDir } = flags;
  if (client === undefined) return followFolder({ dir: configDir, documents, log });
  return followApi({ client, namespace: configNamespace, documents, log, snapshotDir });
}

/** What the API server is called from where this runs; no pool may call it. */
function apiServerHosts(inCluster: string | undefined, client: KubeClient | undefined): string[] {
  const names = ['kubernetes', 'kubernetes.default', 'kubernetes.default.svc', 'kubernetes.default.svc.cluster.local'];
  return [
    ...(inCluster === undefined ? [] : [inCluster, ...names]),
    ...(client === undefined ? [] : [new URL(client.server).hostname]),
  ];
}
