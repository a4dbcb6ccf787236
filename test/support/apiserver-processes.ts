import { type ChildProcess, spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { createWriteStream, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { asset } from './assets.ts';
import { freePort } from './ports.ts';
import { tie } from './reaper.ts';

/** What stays the same from one start of the API server to the next. */
export interface Site {
  readonly folder: string;
  readonly port: number;
  readonly etcdUrl: string;
  readonly caFile: string;
  readonly adminToken: string;
}

/** Writes the keys and tokens that the API server needs into `folder`, and picks its ports. */
export async function prepareSite(folder: string): Promise<Site> {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  writeFileSync(join(folder, 'sa.key'), privateKey.export({ type: 'sec1', format: 'pem' }), { mode: 0o600 });
  const adminToken = 'admin';
  writeFileSync(join(folder, 'tokens.csv'), `${adminToken},admin,1,"system:masters"\n`);
  mkdirSync(join(folder, 'pki'));
  const [port, etcdPort] = [await freePort(), await freePort()];
  // The server makes its certificate itself: its file ends with the authority that signed it.
  const caFile = join(folder, 'pki', 'apiserver.crt');
  return { folder, port, etcdUrl: `http://127.0.0.1:${etcdPort}`, caFile, adminToken };
}

export async function startEtcd(site: Site): Promise<ChildProcess> {
  const peerUrl = `http://127.0.0.1:${await freePort()}`;
  return launch(site, 'etcd', [
    `--data-dir=${join(site.folder, 'etcd')}`,
    `--listen-client-urls=${site.etcdUrl}`,
    `--advertise-client-urls=${site.etcdUrl}`,
    `--listen-peer-urls=${peerUrl}`,
    `--initial-advertise-peer-urls=${peerUrl}`,
    `--initial-cluster=default=${peerUrl}`,
    '--unsafe-no-fsync',
    '--log-level=warn',
    `--quota-backend-bytes=${8 * 1024 ** 3}`,
  ]);
}

export function startServer(site: Site): ChildProcess {
  return launch(site, 'kube-apiserver', [
    `--etcd-servers=${site.etcdUrl}`,
    '--bind-address=127.0.0.1',
    '--advertise-address=127.0.0.1',
    '--endpoint-reconciler-type=none',
    `--secure-port=${site.port}`,
    `--cert-dir=${join(site.folder, 'pki')}`,
    `--token-auth-file=${join(site.folder, 'tokens.csv')}`,
    '--authorization-mode=RBAC',
    '--service-account-issuer=https://kubernetes.default.svc',
    `--service-account-key-file=${join(site.folder, 'sa.key')}`,
    `--service-account-signing-key-file=${join(site.folder, 'sa.key')}`,
    '--service-cluster-ip-range=10.96.0.0/16',
    // No controller makes the `default` account of a namespace, without which this plugin refuses every Pod.
    '--disable-admission-plugins=ServiceAccount',
    '--allow-privileged=true',
    // A stop ends at once instead of letting watches run out.
    '--shutdown-watch-termination-grace-period=0s',
  ]);
}

function launch(site: Site, name: 'etcd' | 'kube-apiserver', args: readonly string[]): ChildProcess {
  const child = spawn(asset(name), args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const log = createWriteStream(join(site.folder, `${name}.log`), { flags: 'a' });
  child.stdout?.pipe(log, { end: false });
  child.stderr?.pipe(log, { end: false });
  child.once('close', () => log.end());
  tie(child);
  return child;
}

/** Ends a child and waits until it is gone. */
export function end(child: ChildProcess, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    child.once('exit', () => resolve());
    child.kill(signal);
  });
}

/** The end of a process's log, for an error that says why it did not come up. */
export function logTail(site: Site, name: string): string {
  return readFileSync(join(site.folder, `${name}.log`), 'utf8')
    .split('\n')
    .slice(-15)
    .join('\n');
}
