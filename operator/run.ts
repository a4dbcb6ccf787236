import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { type KubeClient, openClient } from '../kube/client.ts';
import { elect } from '../kube/lease.ts';
import type { Flags } from '../program/flag-spec.ts';
import { UsageError } from '../program/flags.ts';
import { createLog, type ProgramLog } from '../program/log.ts';
import { onTermination } from '../program/signals.ts';
import { flagsOrExit } from '../program/start.ts';
import { openAdmin } from './admin.ts';
import { FLAGS } from './flags.ts';
import { createOperator, type Operator } from './operator.ts';

/** A process that has heard nothing of any resource for so long is better started anew. */
const DEAF_SECONDS = 900;
const REMIND_MS = 10_000;

type Env = Readonly<Record<string, string | undefined>>;

/** The operator, from its flags to the end of the process. */
export async function run(env: Env): Promise<void> {
  const flags = flagsOrExit('operator', FLAGS);
  const log = createLog({ level: flags.logLevel, program: 'operator' });
  try {
    await start(flags, env, log);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exit(2);
  }
}

async function start(flags: Flags<typeof FLAGS>, env: Env, log: ProgramLog): Promise<void> {
  const client = await openClient({ kubeconfig: flags.kubeconfig, env }).catch((error: Error) => {
    throw new UsageError(`operator: ${error.message}`);
  });
  const namespace = flags.namespace || env['POD_NAMESPACE'] || client.namespace;
  const identity = `${env['POD_NAME'] ?? hostname()}_${randomUUID()}`;
  const operator = await createOperator({
    ...{ client, namespace, log, instance: identity },
    watchNamespaces: flags.watchNamespaces,
    sidecarNamespaces: flags.sidecarNamespaces,
    globalNamesFrom: flags.globalNamesFrom,
    allowUpstream: flags.allowUpstream.map(({ address, prefix }) => `${address}/${prefix}`),
    proxyService: flags.proxyService,
    owner: flags.owner,
  });
  const admin = await openDoor(flags, operator, client.server);
  log.info({ namespace, server: client.server, adminPort: admin.port, identity }, 'started');
  const stopReminding = remindUntilRead(operator, client.server, log);
  const election = flags.noLeaderElection
    ? undefined
    : lead(operator, { client, namespace, identity, log, name: flags.owner });
  if (election === undefined) operator.lead();
  onTermination(async () => {
    stopReminding();
    await operator.stop();
    // Only now may another lead.
    await election?.stop();
    admin.close();
    await client.close();
    log.info({}, 'stopped');
    await log.flush();
  });
}

function openDoor(
  flags: Flags<typeof FLAGS>,
  { store, metrics }: Operator,
  server: string,
): ReturnType<typeof openAdmin> {
  const notReady = (): string | undefined =>
    store.synced() ? undefined : `not read yet: ${store.missing().join(', ')}`;
  const notLive = (): string | undefined => {
    const isDeaf = store.lastEventAges().every(({ seconds }) => seconds >= DEAF_SECONDS);
    return isDeaf ? `nothing heard of ${server} for 15 minutes` : undefined;
  };
  return openAdmin({ address: flags.adminAddress, registry: metrics.registry, notLive, notReady }).catch(
    (error: Error) => {
      throw new UsageError(`operator: --admin-address: ${error.message}`);
    },
  );
}

/** Says, as long as it is so, why nothing is published. */
function remindUntilRead({ store }: Operator, server: string, log: ProgramLog): () => void {
  const reminder = setInterval(() => {
    log.warn(
      { server, missing: store.missing() },
      'nothing is published before every kind has been read; still trying',
    );
  }, REMIND_MS);
  const stop = (): void => clearInterval(reminder);
  void store.whenSynced.then(stop);
  return stop;
}

interface Candidate {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly identity: string;
  readonly log: ProgramLog;
  readonly name: string;
}

function lead(operator: Operator, candidate: Candidate): ReturnType<typeof elect> {
  const { identity, log } = candidate;
  return elect({
    ...candidate,
    onLeading: () => {
      log.info({ identity }, 'leading');
      operator.lead();
    },
    onLost: () => {
      log.error({ identity }, 'the lease is lost: exiting, as another may lead by now');
      void operator.stop();
      void log.flush().finally(() => process.exit(1));
    },
  });
}
