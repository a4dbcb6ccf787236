import type { CustomResource } from './custom-resource.ts';
import type { PodFacts } from './translate/resources.ts';

type Labels = Readonly<Record<string, string>>;

/** What a CR reads of its namespace besides itself. */
export interface References {
  /** Names as `namespace/name`. */
  readonly services: ReadonlySet<string>;
  readonly secrets: ReadonlySet<string>;
  /** matchLabels of its `pods` backends. */
  readonly selectors: readonly Labels[];
}

const NONE: References = { services: new Set(), secrets: new Set(), selectors: [] };
const SECRET_FIELD = /^(secretRef|secretKeyRef|caSecretKeyRef|clientCertSecretRef)$/;

/** Found by the fields' names, wherever they stand. */
export function referencesOf(resource: CustomResource | undefined): References {
  if (resource?.parsed === undefined) return NONE;
  const { namespace } = resource.owner;
  const found = { services: new Set<string>(), secrets: new Set<string>(), selectors: [] as Labels[] };
  visit(resource.parsed.spec, (field, value) => {
    const { name, selector } = value as { name?: unknown; selector?: { matchLabels?: Labels } };
    if (field === 'service') found.services.add(`${namespace}/${String(name)}`);
    else if (SECRET_FIELD.test(field)) found.secrets.add(`${namespace}/${String(name)}`);
    else if (field === 'pods' && selector?.matchLabels) found.selectors.push(selector.matchLabels);
  });
  return found;
}

function visit(value: unknown, found: (field: string, value: object) => void): void {
  if (typeof value !== 'object' || value === null) return;
  for (const [field, member] of Object.entries(value)) {
    if (typeof member !== 'object' || member === null) continue;
    if (!Array.isArray(member)) found(field, member);
    visit(member, found);
  }
}

/** Which CRs read what, the other way round. */
export interface Readers {
  readonly set: (key: string, namespace: string, references: References) => void;
  readonly ofService: (service: string) => Iterable<string>;
  readonly ofSecret: (secret: string) => Iterable<string>;
  /** Of this pod, as one of these. */
  readonly ofPod: (namespace: string, pods: readonly PodFacts[]) => Iterable<string>;
  readonly secretsOf: (key: string) => ReadonlySet<string>;
}

export function createReaders(): Readers {
  const references = new Map<string, References>();
  const byService = createInverse();
  const bySecret = createInverse();
  const byPodNamespace = createInverse();

  const set: Readers['set'] = (key, namespace, now) => {
    const before = references.get(key) ?? NONE;
    byService.replace(key, before.services, now.services);
    bySecret.replace(key, before.secrets, now.secrets);
    const place = [namespace];
    byPodNamespace.replace(key, before.selectors.length > 0 ? place : [], now.selectors.length > 0 ? place : []);
    if (now === NONE) references.delete(key);
    else references.set(key, now);
  };

  const ofPod: Readers['ofPod'] = (namespace, pods) =>
    [...byPodNamespace.get(namespace)].filter((key) => {
      const selectors = references.get(key)?.selectors ?? [];
      return selectors.some((selector) => pods.some(({ labels }) => matches(selector, labels)));
    });

  return {
    set,
    ofService: byService.get,
    ofSecret: bySecret.get,
    ofPod,
    secretsOf: (key) => (references.get(key) ?? NONE).secrets,
  };
}

function matches(selector: Labels, labels: Labels): boolean {
  return Object.entries(selector).every(([name, value]) => labels[name] === value);
}

interface Inverse {
  readonly get: (what: string) => ReadonlySet<string>;
  readonly replace: (key: string, before: Iterable<string>, now: Iterable<string>) => void;
}

function createInverse(): Inverse {
  const keys = new Map<string, Set<string>>();
  const nobody: ReadonlySet<string> = new Set();
  return {
    get: (what) => keys.get(what) ?? nobody,
    replace: (key, before, now) => {
      for (const what of before) {
        keys.get(what)?.delete(key);
        if (keys.get(what)?.size === 0) keys.delete(what);
      }
      for (const what of now) keys.set(what, (keys.get(what) ?? new Set<string>()).add(key));
    },
  };
}
