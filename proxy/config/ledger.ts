import type { Log } from '../../program/log.ts';
import { presentOf, type Verdict } from './decide.ts';
import type { OwnerRecord } from './owners.ts';
import { type ConfigReport, ownerKey } from './schema.ts';

/** What the proxy says of the documents it read; feeds `/config` and its watch. */
export interface Ledger {
  /** Takes down where one owner stands after a change, and tells listeners what is new of it. */
  readonly record: (record: OwnerRecord, verdict: Verdict, isOverdue: boolean) => void;
  readonly reports: () => ConfigReport[];
  readonly watch: (listener: (report: ConfigReport) => void) => () => void;
  /** Documents refused since the start; a repeated verdict on the same bytes counts once. */
  readonly rejections: () => number;
  /** Counts a source that is no CR's document. */
  readonly countRejection: () => void;
}

type BySource = ReadonlyMap<string, ConfigReport>;
const NONE: BySource = new Map();

export function createLedger(log: Log): Ledger {
  const owners = new Map<string, BySource>();
  const listeners = new Set<(report: ConfigReport) => void>();
  let rejections = 0;

  const tell = (report: ConfigReport, source: string): void => {
    const { kind, namespace, name, revision, message } = report;
    const fields = { document: ownerKey({ kind, namespace, name }), source, revision };
    if (report.state === 'rejected') {
      rejections += 1;
      log.warn({ ...fields, reason: message }, 'document refused; its last good version, if any, stays');
    } else log.debug(fields, `document ${report.state}`);
    for (const listener of listeners) listener(report);
  };

  const record = (of: OwnerRecord, verdict: Verdict, isOverdue: boolean): void => {
    const key = ownerKey(of.owner);
    const before = owners.get(key) ?? NONE;
    const after = reportsOf(of, verdict, isOverdue);
    if (after.size > 0) owners.set(key, after);
    else owners.delete(key);
    for (const [source, report] of after) if (!sameReport(report, before.get(source))) tell(report, source);
    const [last] = before;
    if (after.size === 0 && last !== undefined) tell({ ...last[1], state: 'removed', message: '' }, last[0]);
  };

  return {
    record,
    reports: () => [...owners].sort(([a], [b]) => (a < b ? -1 : 1)).flatMap(([, sources]) => [...sources.values()]),
    watch: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    rejections: () => rejections,
    countRejection: () => {
      rejections += 1;
    },
  };
}

/** One report for each source of the owner; none while its first document waits for its values. */
function reportsOf(record: OwnerRecord, verdict: Verdict, isOverdue: boolean): BySource {
  const reports = new Map<string, ConfigReport>();
  const { kind, namespace, name } = record.owner;
  const add = (source: string, state: 'loaded' | 'rejected', revision: string, message = ''): void => {
    reports.set(source, { kind, namespace, name, revision, state, message });
  };
  const present = presentOf(record);
  if (present !== undefined) {
    const { source, config } = present;
    if (verdict.state === 'rejected') add(source, 'rejected', config.revision, verdict.message);
    else if (verdict.state === 'waiting' && isOverdue) add(source, 'rejected', config.revision, verdict.message);
    else if (record.served !== undefined) add(source, 'loaded', record.served.config.revision);
    for (const [other, { revision }] of record.configs) {
      if (other !== source)
        add(other, 'rejected', revision, `${ownerKey(record.owner)} is published twice: ${source} is used`);
    }
  }
  for (const [source, { revision, message }] of record.refusals)
    add(source, 'rejected', revision, `${source}: ${message}`);
  return reports;
}

function sameReport(a: ConfigReport, b: ConfigReport | undefined): boolean {
  return b !== undefined && a.state === b.state && a.revision === b.revision && a.message === b.message;
}
