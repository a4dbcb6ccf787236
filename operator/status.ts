import { ApiError } from '../kube/api-error.ts';
import { apply } from '../kube/apply.ts';
import type { KubeClient } from '../kube/client.ts';
import { type KubeObject, RESOURCES, type Resource } from '../kube/object.ts';
import { canonicalJson } from '../proxy/config/encode.ts';
import type { Owner } from '../proxy/config/schema.ts';
import { CONDITION_TYPES, conditionFrom, conditionsOf } from './conditions.ts';
import { type CustomResource, readStatus, type StandingStatus } from './custom-resource.ts';
import type { Bucket } from './pace.ts';
import { FIELD_MANAGER } from './published-object.ts';
import type { Translation, Verdict } from './translate/translation.ts';

/** What the status is made of. */
export interface StatusInput {
  readonly resource: CustomResource;
  readonly standing: StandingStatus;
  readonly translation: Translation;
  /** Without Ready where the CR is refused: it stays as it was. All others are here, Programmed where it is to change. */
  readonly verdicts: readonly Verdict[];
  readonly accepted: boolean;
  readonly revision: string | undefined;
  /** Milliseconds since 1970. */
  readonly now: number;
}

export type Status = Readonly<Record<string, unknown>>;

/** The status as it should stand. What a refused CR serves is told as it was before. */
export function buildStatus({
  resource,
  standing,
  translation,
  verdicts,
  accepted,
  revision,
  now,
}: StatusInput): Status {
  const before = conditionsOf(standing);
  const generation = resource.generation;
  const conditions = CONDITION_TYPES.flatMap((type) => {
    const verdict = verdicts.find((one) => one.type === type);
    const condition = verdict ? conditionFrom(verdict, before[type], generation, now) : before[type];
    return condition ? [condition] : [];
  });
  const counts = accepted ? countsOf(translation) : keptCounts(standing);
  return {
    ...{ observedGeneration: generation, conditions },
    ...(resource.owner.kind === 'LLMPool' && { models: translation.models }),
    ...counts,
    ...(revision !== undefined && { revision }),
  };
}

function countsOf({ endpointCount: endpoints, readyEndpointCount: readyEndpoints }: Translation): Status {
  return { endpoints, readyEndpoints, ready: `${readyEndpoints}/${endpoints}` };
}

function keptCounts({ endpoints = 0, readyEndpoints = 0, ready = '0/0' }: StandingStatus): Status {
  return { endpoints, readyEndpoints, ready };
}

const FIELDS = ['observedGeneration', 'models', 'endpoints', 'readyEndpoints', 'ready', 'revision'] as const;

/** Whether a standing status says the same; fields and conditions of others do not count. */
function saysTheSame(status: Status, standing: StandingStatus): boolean {
  const pick = (from: Readonly<Record<string, unknown>>) => FIELDS.map((field) => from[field] ?? null);
  const known = CONDITION_TYPES.map((type) => conditionsOf(standing)[type]).filter(
    (condition) => condition !== undefined,
  );
  return (
    canonicalJson(pick(status)) === canonicalJson(pick(standing)) &&
    canonicalJson(status['conditions']) === canonicalJson(known)
  );
}

export interface StatusWriter {
  /** The newest word on a CR's status: as watched, or as our last write was answered. */
  readonly standing: (resource: CustomResource) => StandingStatus;
  /** The status as watched is not of our last write. */
  readonly isOthers: (resource: CustomResource) => boolean;
  /**
   * Writes it where it differs. Gives after how many milliseconds it may be written, or 0 when it stands. A CR that is
   * gone, or another by now, is nobody's business any more. Throws ApiError.
   */
  readonly write: (resource: CustomResource, status: Status) => Promise<number>;
  readonly forget: (key: string) => void;
}

const RESOURCE_OF: Readonly<Record<Owner['kind'], Resource>> = {
  LLMPool: RESOURCES.llmPools,
  EmbeddingInstance: RESOURCES.embeddingInstances,
};

type Answered = Pick<CustomResource, 'uid' | 'resourceVersion' | 'status'>;

export function createStatusWriter({ client, bucket }: { client: KubeClient; bucket: Bucket }): StatusWriter {
  /** As our writes were answered. */
  const answered = new Map<string, Answered>();

  const standing: StatusWriter['standing'] = (resource) => {
    const own = answered.get(resource.key);
    const isNewer = own?.uid === resource.uid && isLater(own.resourceVersion, resource.resourceVersion);
    return isNewer ? own.status : resource.status;
  };

  const write: StatusWriter['write'] = async (resource, status) => {
    if (saysTheSame(status, standing(resource))) return 0;
    const waitMs = bucket.take(resource.key);
    if (waitMs > 0) return waitMs;
    const { kind, namespace, name } = resource.owner;
    const object: KubeObject = { metadata: { name, namespace, uid: resource.uid }, status };
    try {
      const made = await apply(client, RESOURCE_OF[kind], object, {
        fieldManager: FIELD_MANAGER,
        subresource: 'status',
      });
      const { uid = '', resourceVersion = '' } = made.metadata;
      answered.set(resource.key, { uid, resourceVersion, status: readStatus(made) });
    } catch (error) {
      if (!(error instanceof ApiError && (error.status === 404 || error.reason === 'Conflict'))) throw error;
    }
    return 0;
  };

  const isOthers: StatusWriter['isOthers'] = (resource) => {
    const own = answered.get(resource.key);
    const isOurs = own?.uid === resource.uid && !isLater(resource.resourceVersion, own.resourceVersion);
    return !isOurs;
  };

  return { standing, isOthers, write, forget: (key) => answered.delete(key) };
}

function isLater(a: string, b: string): boolean {
  const numbers = /^\d+$/;
  return numbers.test(a) && numbers.test(b) && BigInt(a) > BigInt(b);
}
