import '../program/v8.ts';
import { openClient } from '../kube/client.ts';
import type { FlagSpec } from '../program/flag-spec.ts';
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

const flags = flagsOrExit('proxy', FLAGS);
const log = createLog({ level: flags.logLevel, program: 'proxy' });

try {
  await run();
} catch (error) {
  if (error instanceof UsageError) process.stderr.write(`${error.message}\n`);
  else log.error({ err: error }, 'the proxy cannot start');
  await log.flush();
  process.exit(error instanceof UsageError ? 2 : 1);
}

async function run(): Promise<void> {
  const { configNamespace, configDir } = flags;
  if ((configNamespace === undefined) === (configDir === undefined)) {
    throw new UsageError('proxy: give either --config-namespace or --config-dir');
  }
  const proxy = await startProxy(doorOptions('proxy', flags, { log, allowLoopback: false }));
  const feed = await follow(proxy.documents, log);
  log.info({ httpPort: proxy.httpPort, adminPort: proxy.adminPort }, 'listening');
  onTermination(async () => {
    log.info({}, 'draining');
    await proxy.drain();
    await feed.stop();
    await log.flush();
  });
}

async function follow(documents: Documents, to: ProgramLog): Promise<ConfigFeed> {
  if (flags.configDir !== undefined) return followFolder({ dir: flags.configDir, documents, log: to });
  const client = await openClient({
    env: process.env,
    ...(flags.kubeconfig !== undefined && { kubeconfig: flags.kubeconfig }),
  });
  const namespace = flags.configNamespace ?? client.namespace;
  return followApi({ client, namespace, documents, log: to, snapshotDir: flags.snapshotDir });
}
