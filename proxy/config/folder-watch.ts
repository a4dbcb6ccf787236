import { type FSWatcher, watch } from 'node:fs';
import { join } from 'node:path';

/** Hears of changes in folders. Never watches a file: the first swap of a mounted one would be the last heard of it. */
export interface FolderWatch {
  /** Watches exactly these folders (path below the root → identity); one that was replaced is watched anew. */
  readonly follow: (folders: ReadonlyMap<string, string>) => void;
  readonly close: () => void;
}

/** Where the system gives no events (limits, network file systems) nothing is heard: its caller polls as well. */
export function createFolderWatch(root: string, heard: () => void): FolderWatch {
  const watched = new Map<string, { readonly identity: string; readonly watcher: FSWatcher }>();

  const drop = (path: string): void => {
    watched.get(path)?.watcher.close();
    watched.delete(path);
  };

  const add = (path: string, identity: string): void => {
    try {
      const watcher = watch(join(root, path), { persistent: false }, heard);
      watcher.on('error', () => drop(path));
      watched.set(path, { identity, watcher });
    } catch {
      // Polling finds what happens there.
    }
  };

  return {
    follow: (folders) => {
      for (const [path, { identity }] of watched) if (folders.get(path) !== identity) drop(path);
      for (const [path, identity] of folders) if (!watched.has(path)) add(path, identity);
    },
    close: () => {
      for (const path of [...watched.keys()]) drop(path);
    },
  };
}
