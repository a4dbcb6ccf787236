import { isDeepStrictEqual } from 'node:util';
import type { Log } from '../../program/log.ts';
import { decide, type OwnerInput, type Verdict } from './decide.ts';
import { readAccessKeys } from './encode.ts';
import { createLedger, type Ledger } from './ledger.ts';
import { createOwners, type OwnerRecord, type Owners, type Stray } from './owners.ts';
import { accessSecretOf, type Clients, type SecretData, type UserSecret } from './pair.ts';
import { parsePublished, type Refusal } from './parse.ts';
import { createProxyList, type ProxiesListener, type ProxyList } from './proxy-list.ts';
import type { ConfigReport, Owner } from './schema.ts';
import { createWaits } from './waits.ts';
import { createWantsTally, type Wants, type WantsTally } from './wants.ts';

export type { OwnerInput } from './decide.ts';

/** Where the documents in use come from. */
export type ConfigSource = 'api' | 'folder' | 'snapshot';

export interface DocumentsOptions {
  /** Takes over one owner; may throw an Error that names the field: the owner's last good version then stays. */
  readonly apply: (input: OwnerInput) => void;
  /** All of one turn of the event loop that `apply` took, to be made effective together. Must not throw. */
  readonly changed: (changes: readonly OwnerInput[]) => void;
  readonly log: Log;
  /** How long a document may wait for its values before it counts as refused; what was served stays all the while. */
  readonly waitMs?: number;
}

/**
 * Turns texts, as sources find them, into whole owners: document, its very Credentials, joined addresses. Only what
 * changed is parsed. A text that cannot be used leaves the last good version of its source in use and is reported.
 * Several calls of one turn of the event loop are one change.
 */
export interface Documents {
  /** The source's text as of now. `owner`: whose configuration it is, where the source says so beside the text. */
  readonly put: (source: string, text: string, owner?: Owner) => void;
  readonly remove: (source: string) => void;
  /** The source is there but its text cannot be had; `problem` reads on after its name. */
  readonly fail: (source: string, problem: string, owner?: Owner) => void;
  /**
   * A user's Secret that `wants` names, by `namespace/name`. undefined: it is not there. `clients`: whom its keys let
   * in, where the keys themselves are not at hand.
   */
  readonly putSecret: (secret: string, data: SecretData | undefined, clients?: Clients) => void;
  /** Everything there is has been put. */
  readonly settle: (source?: ConfigSource) => void;
  /** A whole read is served; a document that waits for its values holds this back for `waitMs` at most. */
  readonly settled: () => boolean;
  readonly whenSettled: Promise<void>;
  /** undefined until a whole read. */
  readonly source: () => ConfigSource | undefined;
  readonly wants: () => Wants;
  readonly watchWants: (listener: (wants: Wants) => void) => () => void;
  /** Sorted by owner. */
  readonly reports: () => ConfigReport[];
  /** What is new from now on. */
  readonly watch: (listener: (report: ConfigReport) => void) => () => void;
  /** Refused sources that are no CR's document, or of nobody knows whom. */
  readonly strays: () => Stray[];
  readonly stats: () => DocumentStats;
  /** By ownerKey. What is served of each is the last good version of it. */
  readonly records: ReadonlyMap<string, OwnerRecord>;
  /** Called after each change with the owners of which something else is served now. */
  readonly watchServed: (listener: (owners: readonly Owner[]) => void) => () => void;
  /** The ids of the ready proxies by rank; empty where no list is published. It is nobody's: no report tells of it. */
  readonly proxies: () => readonly string[];
  /** Called at once whenever another list counts. */
  readonly watchProxies: (listener: ProxiesListener) => () => void;
  /** Nothing is served or said any more, whatever is still put. */
  readonly close: () => void;
}

export interface DocumentStats {
  readonly loaded: number;
  readonly rejected: number;
  /** Since the start. */
  readonly rejections: number;
  readonly lastChangeAtMs: number | undefined;
  readonly lastApplySeconds: number | undefined;
}

const WAIT_MS = 5_000;

export function createDocuments(options: DocumentsOptions): Documents {
  const { log, changed } = options;
  const ledger = createLedger(log);
  const tally = createWantsTally();
  const secrets = new Map<string, UserSecret | undefined>();
  const dirty = new Set<OwnerRecord>();
  const servedListeners = new Set<(owners: readonly Owner[]) => void>();
  const proxyList = createProxyList(log);
  const ready = Promise.withResolvers<void>();
  let turn: NodeJS.Immediate | undefined;
  let source: ConfigSource | undefined;
  let isSettled = false;
  let isClosed = false;
  let last: { atMs: number; seconds: number } | undefined;

  const schedule = (): void => {
    if (!isClosed) turn ??= setImmediate(takeTurn);
  };
  const touch = (record: OwnerRecord): void => {
    dirty.add(record);
    schedule();
  };
  const owners = createOwners(touch);
  const waits = createWaits(options.waitMs ?? WAIT_MS, (record) => {
    giveUpOnAccess(record, secrets);
    touch(record);
  });

  const takeTurn = (): void => {
    const startedAt = performance.now();
    const batch = [...dirty];
    dirty.clear();
    turn = undefined;
    const decisions = batch.map((record) => ({ record, ...decide(record, secrets, options.apply) }));
    const changes = decisions.flatMap(({ change }) => change ?? []);
    if (changes.length > 0) {
      changed(changes);
      last = { atMs: Date.now(), seconds: (performance.now() - startedAt) / 1000 };
    }
    for (const { record, verdict } of decisions) report(record, verdict);
    if (changes.length > 0) for (const listener of servedListeners) listener(changes.map(({ owner }) => owner));
    becomeSettled();
  };

  const report = (record: OwnerRecord, verdict: Verdict): void => {
    waits.follow(record, verdict.state === 'waiting');
    ledger.record(record, verdict, waits.isOverdue(record));
    owners.prune(record);
  };

  const becomeSettled = (): void => {
    if (isSettled || source === undefined || waits.holdsBack()) return;
    isSettled = true;
    ready.resolve();
  };

  const putSecret: Documents['putSecret'] = (secret, data, clients) => {
    const now = data && { data, clients: clients ?? readAccessKeys(data).clients };
    if (secrets.has(secret) && isDeepStrictEqual(secrets.get(secret), now)) return;
    secrets.set(secret, now);
    for (const record of owners.records.values()) {
      if ([...record.configs.keys()].some((key) => tally.wantedBy(key, secret))) touch(record);
    }
  };

  tally.watch((wants) => {
    for (const secret of secrets.keys()) if (!wants.secrets.has(secret)) secrets.delete(secret);
  });

  return {
    ...createIntake(owners, tally, ledger, proxyList, log),
    putSecret,
    settle: (from = 'folder') => {
      if (source === from) return;
      source = from;
      log.info({ source: from, owners: owners.records.size }, 'configuration read whole');
      schedule();
    },
    settled: () => isSettled,
    whenSettled: ready.promise,
    source: () => source,
    wants: tally.current,
    watchWants: tally.watch,
    reports: ledger.reports,
    watch: ledger.watch,
    strays: () => [...owners.strays.values()],
    stats: () => ({ ...count(owners, ledger), lastChangeAtMs: last?.atMs, lastApplySeconds: last?.seconds }),
    records: owners.records,
    watchServed: (listener) => {
      servedListeners.add(listener);
      return () => servedListeners.delete(listener);
    },
    proxies: proxyList.ids,
    watchProxies: proxyList.watch,
    close: () => {
      isClosed = true;
      clearImmediate(turn);
      waits.close();
    },
  };
}

/** A Secret of clients that could not be read in time counts as missing: never served open, nor as it was before. */
function giveUpOnAccess({ configs }: OwnerRecord, secrets: Map<string, UserSecret | undefined>): void {
  for (const { document } of configs.values()) {
    const secret = accessSecretOf(document);
    if (secret !== undefined && !secrets.has(secret)) secrets.set(secret, undefined);
  }
}

/** The door for texts: only one that differs from what its source held is parsed. */
function createIntake(
  owners: Owners,
  tally: WantsTally,
  ledger: Ledger,
  proxyList: ProxyList,
  log: Log,
): Pick<Documents, 'put' | 'remove' | 'fail'> {
  const texts = new Map<string, string>();

  const put = (source: string, text: string, owner?: Owner): void => {
    if (texts.get(source) === text) return;
    texts.set(source, text);
    const result = parsePublished(text);
    if ('proxies' in result) {
      forget(source);
      proxyList.put(source, result.proxies);
      return;
    }
    if ('parsed' in result) {
      proxyList.remove(source);
      const { document } = result.parsed;
      owners.put(source, result.parsed);
      tally.set(source, 'of' in document ? undefined : document);
      return;
    }
    refuse(source, result.refusal, owner);
  };

  const refuse = (source: string, refusal: Refusal, owner?: Owner): void => {
    if (refusal.isProxies || proxyList.has(source)) {
      proxyList.refuse(source, refusal.message);
      return;
    }
    const before = owners.strays.get(source)?.message;
    owners.refuse(source, refusal, owner);
    const stray = owners.strays.get(source);
    if (stray === undefined || stray.message === before) return;
    ledger.countRejection();
    log.warn({ source, reason: stray.message }, 'source refused; what it held before, if anything, stays');
  };

  const fail = (source: string, problem: string, owner?: Owner): void => {
    texts.delete(source);
    refuse(source, { revision: '', message: problem, owner });
  };

  const forget = (source: string): void => {
    owners.remove(source);
    tally.set(source, undefined);
  };

  const remove = (source: string): void => {
    texts.delete(source);
    forget(source);
    proxyList.remove(source);
  };

  return { put, remove, fail };
}

function count(owners: Owners, ledger: Ledger): Pick<DocumentStats, 'loaded' | 'rejected' | 'rejections'> {
  const refused = ledger.reports().filter(({ state }) => state === 'rejected').length;
  const loaded = [...owners.records.values()].filter(({ served }) => served !== undefined).length;
  return { loaded, rejected: refused + owners.strays.size, rejections: ledger.rejections() };
}
