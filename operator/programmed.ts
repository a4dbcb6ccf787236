import type { Condition } from '../crds/status.ts';
import type { ConfigReport } from '../proxy/config/schema.ts';
import type { Verdict } from './translate/translation.ts';

/** What one ready proxy last said of a CR; no report: nothing yet. */
export interface ProxyWord {
  readonly address: string;
  readonly report: ConfigReport | undefined;
}

export interface ProgrammedInput {
  readonly accepted: boolean;
  /** Of the document that is published; undefined: none is. */
  readonly revision: string | undefined;
  /** The Service of the central proxies; empty: there are none by design. */
  readonly proxyService: string;
  /** One for each ready proxy. */
  readonly words: readonly ProxyWord[];
  /** Since this operator's start each proxy was heard, or 10 s went by. */
  readonly settled: boolean;
  /** The condition as it stands, and the status's revision. */
  readonly previous: Condition | undefined;
  readonly previousRevision: string | undefined;
}

/** Whether the proxies serve what is published. undefined: the condition stays as it stands. */
export function programmedVerdict(input: ProgrammedInput): Verdict | undefined {
  const { accepted, revision, proxyService, words, settled, previous } = input;
  if (!accepted) return no('Pending', stillServed(revision));
  if (proxyService === '') return yes('Published', 'published; there is no central proxy by design');
  if (!settled && previous !== undefined) return undefined;
  if (words.length === 0) return no('NoProxy', `Service ${proxyService} has no ready endpoint`);
  const rejection = words.find(({ report }) => report?.state === 'rejected' && report.revision === revision);
  if (rejection) return no('Rejected', `proxy ${rejection.address}: ${rejection.report?.message ?? ''}`);
  const serving = words.filter(({ report }) => report?.state === 'loaded' && report.revision === revision).length;
  if (serving === words.length || wasProgrammed(input))
    return yes('Programmed', 'every ready proxy serves this revision');
  return no('Pending', `${serving} of ${words.length} proxies`);
}

/** A proxy is ready only once it serves all that is published: who joins, leaves or restarts then changes nothing. */
function wasProgrammed({ previous, previousRevision, revision }: ProgrammedInput): boolean {
  return previous?.status === 'True' && previous.reason === 'Programmed' && previousRevision === revision;
}

function stillServed(revision: string | undefined): string {
  if (revision === undefined) return 'not accepted; nothing is published';
  return `not accepted; revision ${revision.slice(0, 8)}… is still served`;
}

function yes(reason: string, message: string): Verdict {
  return { type: 'Programmed', status: 'True', reason, message };
}

function no(reason: string, message: string): Verdict {
  return { type: 'Programmed', status: 'False', reason, message };
}
