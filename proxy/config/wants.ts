import { type ConfigDocument, secretsReadByName } from './pair.ts';

/** What the documents need besides themselves. A sidecar's account may read no more than this. */
export interface Wants {
  /** A document that names Credentials was read: they have to be listed. Stays true. */
  readonly credentials: boolean;
  /** The user's own Secrets that documents read by name, as `namespace/name`. */
  readonly secrets: ReadonlySet<string>;
}

/** Keeps count of what the documents of all sources want, and says when that changes. */
export interface WantsTally {
  readonly current: () => Wants;
  /** `document` is what the source holds now; undefined: nothing. */
  readonly set: (source: string, document: ConfigDocument | undefined) => void;
  readonly wantedBy: (source: string, secret: string) => boolean;
  /** Called after each change; not for what is wanted already. */
  readonly watch: (listener: (wants: Wants) => void) => () => void;
}

export function createWantsTally(): WantsTally {
  const bySource = new Map<string, readonly string[]>();
  const listeners = new Set<(wants: Wants) => void>();
  let wants: Wants = { credentials: false, secrets: new Set() };

  const set = (source: string, document: ConfigDocument | undefined): void => {
    const names = document === undefined ? [] : secretsReadByName(document);
    const before = bySource.get(source) ?? [];
    if (names.length > 0) bySource.set(source, names);
    else bySource.delete(source);
    const isFirst = !wants.credentials && document?.credentials !== undefined;
    if (!isFirst && sameNames(before, names)) return;
    wants = { credentials: wants.credentials || isFirst, secrets: new Set([...bySource.values()].flat()) };
    for (const listener of listeners) listener(wants);
  };

  return {
    current: () => wants,
    set,
    wantedBy: (source, secret) => bySource.get(source)?.includes(secret) ?? false,
    watch: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

function sameNames(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((name, index) => name === b[index]);
}
