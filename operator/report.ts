import type { Acknowledge } from './acknowledge.ts';
import { conditionsOf } from './conditions.ts';
import type { CustomResource } from './custom-resource.ts';
import type { Events } from './events.ts';
import type { Metrics } from './metrics.ts';
import type { Clock } from './pace.ts';
import { type ProgrammedInput, programmedVerdict } from './programmed.ts';
import type { Publication } from './publish.ts';
import { buildStatus, type StatusWriter } from './status.ts';
import type { Translation, Verdict } from './translate/translation.ts';

/** A new revision is usually served before this, and one status then says it all. */
const ACKNOWLEDGE_MS = 100;

export interface ReportOptions {
  readonly statuses: StatusWriter;
  readonly events: Events;
  readonly metrics: Metrics;
  readonly proxyService: string;
  readonly acknowledge: () => Acknowledge | undefined;
  readonly clock: Clock;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** Says of a CR what has become of it: status, Events, the time it took. */
export interface Reporter {
  /** Gives after how many milliseconds there may be more to say. Throws ApiError. */
  readonly report: (
    resource: CustomResource,
    translation: Translation,
    publication: Publication,
  ) => Promise<number | undefined>;
  /** The CR means something else from now on; `revision` is what is published of it yet. */
  readonly changed: (key: string, revision: string | undefined) => void;
  /** Whether what the proxies say makes another Programmed than the one that stands. */
  readonly isStale: (resource: CustomResource, revision: string | undefined) => boolean;
  readonly forget: (key: string) => void;
}

export function createReporter(options: ReportOptions): Reporter {
  const { statuses, events, metrics, clock } = options;
  const propagation = createPropagation(metrics, clock);
  /** When the revision that is published was first seen. */
  const publishedAt = new Map<string, { readonly revision: string | undefined; readonly at: number }>();

  const ageOf = (key: string, revision: string | undefined): number => {
    const known = publishedAt.get(key);
    if (known?.revision === revision && known !== undefined) return clock() - known.at;
    publishedAt.set(key, { revision, at: clock() });
    return 0;
  };

  const report: Reporter['report'] = async (resource, translation, { refusal, revision }) => {
    const standing = statuses.standing(resource);
    const before = conditionsOf(standing);
    const verdicts = translation.verdicts.filter(({ type }) => type !== refusal?.type).concat(refusal ?? []);
    const accepted = verdicts.find(({ type }) => type === 'Accepted')?.status === 'True';
    const programmed = programmedVerdict(programmedInput(options, resource, accepted, revision));
    propagation.seen(resource.key, programmed, revision);
    const ageMs = ageOf(resource.key, revision);
    if (isAwaited(programmed, accepted) && ageMs < ACKNOWLEDGE_MS) return ACKNOWLEDGE_MS - ageMs;
    const said = [...verdicts, ...(programmed ? [programmed] : [])].filter(
      ({ type }) => accepted || type !== 'Ready' || before.Ready === undefined,
    );
    const now = options.now();
    const status = buildStatus({ resource, standing, translation, verdicts: said, accepted, revision, now });
    const waitMs = await statuses.write(resource, status);
    if (waitMs > 0) return waitMs;
    events(resource, before, conditionsOf(statuses.standing(resource)));
    return undefined;
  };

  return {
    report,
    changed: propagation.changed,
    isStale: (resource, revision) => {
      const standing = conditionsOf(statuses.standing(resource));
      const accepted = standing.Accepted?.status === 'True';
      const verdict = programmedVerdict(programmedInput(options, resource, accepted, revision));
      const { status, reason, message } = standing.Programmed ?? {};
      return (
        verdict !== undefined && (verdict.status !== status || verdict.reason !== reason || verdict.message !== message)
      );
    },
    forget: (key) => {
      statuses.forget(key);
      propagation.forget(key);
      publishedAt.delete(key);
    },
  };
}

function programmedInput(
  { statuses, proxyService, acknowledge }: ReportOptions,
  resource: CustomResource,
  accepted: boolean,
  revision: string | undefined,
): ProgrammedInput {
  const standing = statuses.standing(resource);
  const heard = acknowledge();
  return {
    ...{ accepted, revision, proxyService },
    words: heard?.words(resource.key) ?? [],
    settled: heard?.settled() ?? false,
    previous: conditionsOf(standing).Programmed,
    previousRevision: standing.revision,
  };
}

function isAwaited(programmed: Verdict | undefined, accepted: boolean): boolean {
  return accepted && programmed?.reason === 'Pending';
}

interface Propagation {
  readonly changed: (key: string, revision: string | undefined) => void;
  readonly seen: (key: string, programmed: Verdict | undefined, revision: string | undefined) => void;
  readonly forget: (key: string) => void;
}

/** Measures from a change that made a new revision to every proxy serving it. */
function createPropagation({ propagationSeconds }: Metrics, clock: Clock): Propagation {
  const open = new Map<string, { readonly since: number; readonly from: string | undefined }>();
  return {
    changed: (key, revision) => {
      if (!open.has(key)) open.set(key, { since: clock(), from: revision });
    },
    seen: (key, programmed, revision) => {
      const change = open.get(key);
      if (change === undefined || programmed?.status !== 'True') return;
      open.delete(key);
      if (revision !== change.from) propagationSeconds.observe((clock() - change.since) / 1000);
    },
    forget: (key) => open.delete(key),
  };
}
