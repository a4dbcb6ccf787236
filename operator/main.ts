import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { openClient } from '../kube/client.ts';
import { elect } from '../kube/lease.ts';
import { createLog } from '../program/log.ts';
import { onTermination } from '../program/signals.ts';
import { flagsOrExit } from '../program/start.ts';
import { openAdmin } from './admin.ts';
import { FLAGS } from './flags.ts';
import { createOperator } from './operator.ts';

/** A process that has heard nothing of any resource for so long is better started anew. */
const DEAF_SECONDS = 900;
const REMIND_MS = 10_000;

const flags = flagsOrExit('operator', FLAGS);
const log = createLog({ level: flags.logLevel, program: 'operator' });

const client = await openClient({ kubeconfig: flags.kubeconfig, env: process.env }).catch(async (error: Error) => {
  process.stderr.write(`operator: ${error.message}\n`);
  process.exit(2);
});
const namespace = flags.namespace || process.env['POD_NAMESPACE'] || client.namespace;
const identity = `${process.env['POD_NAME'] ?? hostname()}_${randomUUID()}`;
const operator = await createOperator({
  ...{ client, namespace, log, instance: identity },
  watchNamespaces: flags.watchNamespaces,
  sidecarNamespaces: flags.sidecarNamespaces,
  globalNamesFrom: flags.globalNamesFrom,
  allowUpstream: flags.allowUpstream.map(({ address, prefix }) => `${address}/${prefix}`),
  proxyService: flags.proxyService,
  owner: flags.owner,
});
const { store, metrics } = operator;

const notReady = (): string | undefined => {
  return store.synced() ? undefined : `not read yet: ${store.missing().join(', ')}`;
};
const notLive = (): string | undefined => {
  const ages = store.lastEventAges().map(({ seconds }) => seconds);
  return ages.some((seconds) => seconds < DEAF_SECONDS)
    ? undefined
    : `nothing heard of ${client.server} for 15 minutes`;
};
const admin = await openAdmin({ address: flags.adminAddress, registry: metrics.registry, notLive, notReady }).catch(
  (error: Error) => {
    process.stderr.write(`operator: --admin-address: ${error.message}\n`);
    process.exit(2);
  },
);
log.info({ namespace, server: client.server, adminPort: admin.port, identity }, 'started');

const reminder = setInterval(() => {
  log.warn(
    { server: client.server, missing: store.missing() },
    'nothing is published before every kind has been read; still trying',
  );
}, REMIND_MS);
void store.whenSynced.then(() => clearInterval(reminder));

const election = flags.noLeaderElection
  ? undefined
  : elect({
      ...{ client, namespace, identity, log },
      name: flags.owner,
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
if (election === undefined) operator.lead();

onTermination(async () => {
  clearInterval(reminder);
  await operator.stop();
  // Only now may another lead.
  await election?.stop();
  admin.close();
  await client.close();
  log.info({}, 'stopped');
  await log.flush();
});
