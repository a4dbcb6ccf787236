import { accessSync, constants } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** Where `test/assets/fetch` keeps what it made; the version is the one it names. */
function cacheFolder(): string {
  const root = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
  return join(root, 'sluice', 'kube-1.34.4');
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The path of etcd, kube-apiserver, kubectl or helm: from KUBEBUILDER_ASSETS, else the cache. Throws where it is in neither. */
export function asset(name: 'etcd' | 'kube-apiserver' | 'kubectl' | 'helm'): string {
  const folders = [process.env['KUBEBUILDER_ASSETS'], cacheFolder()];
  for (const folder of folders) {
    if (folder !== undefined && isExecutable(join(folder, name))) return join(folder, name);
  }
  throw new Error(`no ${name} in KUBEBUILDER_ASSETS or ${cacheFolder()}: run test/assets/fetch ${name}`);
}
