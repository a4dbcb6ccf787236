import type { Log } from '../../program/log.ts';

/** Hears of the ids by rank, and of the source they are from; none where there is no list. */
export type ProxiesListener = (ids: readonly string[], source: string | undefined) => void;

/** The published list of the ready proxies, apart from all that is somebody's. */
export interface ProxyList {
  /** By rank. Empty: there is no list. */
  readonly ids: () => readonly string[];
  /** Calls back whenever another list counts. */
  readonly watch: (listener: ProxiesListener) => () => void;
  readonly put: (source: string, ids: readonly string[]) => void;
  /** Keeps the source's last good list; what is refused again for the same reason is not logged again. */
  readonly refuse: (source: string, message: string) => void;
  readonly remove: (source: string) => void;
  /** Whether the source held a list. */
  readonly has: (source: string) => boolean;
}

const NONE: readonly string[] = [];

/** Where several sources have one, the first by name counts. */
export function createProxyList(log: Log): ProxyList {
  const lists = new Map<string, readonly string[]>();
  const complaints = new Map<string, string>();
  const listeners = new Set<ProxiesListener>();
  let current = NONE;
  let source: string | undefined;

  const choose = (): void => {
    const [first] = [...lists.keys()].sort();
    const ids = first === undefined ? NONE : (lists.get(first) ?? NONE);
    if (first === source && ids === current) return;
    source = first;
    current = ids;
    log.info({ source, proxies: ids.length }, 'the list of proxies is taken over');
    for (const listener of listeners) listener(current, source);
  };

  return {
    ids: () => current,
    watch: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    put: (from, ids) => {
      lists.set(from, ids);
      complaints.delete(from);
      choose();
    },
    refuse: (from, message) => {
      if (complaints.get(from) === message) return;
      complaints.set(from, message);
      log.warn({ source: from, reason: message }, 'list of proxies refused; the last good one, if any, stays');
    },
    remove: (from) => {
      lists.delete(from);
      complaints.delete(from);
      choose();
    },
    has: (from) => lists.has(from),
  };
}
