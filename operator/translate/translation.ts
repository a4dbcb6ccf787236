import type {
  CredentialsDocument,
  EndpointEntry,
  InstanceDocument,
  Owner,
  PoolDocument,
} from '../../proxy/config/schema.ts';

export type ConditionType = 'Accepted' | 'NamesClaimed' | 'ResolvedRefs' | 'Programmed' | 'Ready';

/** A condition without its times: those belong to whoever writes the status. */
export interface Verdict {
  readonly type: ConditionType;
  readonly status: 'True' | 'False';
  readonly reason: string;
  readonly message: string;
}

/** What of Secrets a document is served with. */
export type Credentials = Pick<CredentialsDocument, 'values' | 'clients'>;

/** Everything that follows from one CR. Same input, same output, to the byte. */
export interface Translation {
  readonly owner: Owner;
  readonly generation: number;
  /** Absent: the CR is refused, and the last good document stays. Without `credentials`, which publish sets. */
  readonly document?: PoolDocument | InstanceDocument;
  /** Sorted. Also for a refused CR: the addresses of its last good backends are not withdrawn, so it is then absent. */
  readonly endpoints?: readonly EndpointEntry[];
  /** Absent where the document uses none. One with `access` always has some: else a proxy would read Secrets itself. */
  readonly credentials?: Credentials;
  /** Accepted, NamesClaimed, ResolvedRefs, Ready; Programmed is the proxies' word. */
  readonly verdicts: readonly Verdict[];
  /** Names it really has; for status.models. */
  readonly models: readonly string[];
  readonly endpointCount: number;
  readonly readyEndpointCount: number;
}
