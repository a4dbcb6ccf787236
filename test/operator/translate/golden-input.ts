import { parseAllDocuments } from 'yaml';
import * as z from 'zod';
import type { EmbeddingInstance } from '../../../crds/embedding-instance.ts';
import type { LLMPool } from '../../../crds/llm-pool.ts';
import { type KubeObject, keyOf } from '../../../kube/object.ts';
import { readCustomResource } from '../../../operator/custom-resource.ts';
import { podFacts, secretFacts, serviceFacts, sliceFacts } from '../../../operator/translate/facts.ts';
import type {
  PodFacts,
  Resources,
  SecretFacts,
  ServiceFacts,
  SliceFacts,
  TranslateOptions,
  UnreadableFacts,
} from '../../../operator/translate/resources.ts';
import type { Owner } from '../../../proxy/config/schema.ts';

/** The first document of a case, where it needs other options than a cluster's plain ones. */
const Options = z.strictObject({
  kind: z.literal('Options'),
  standalone: z.boolean().default(false),
  globalNamesFrom: z.array(z.string()).optional(),
  allowUpstream: z.array(z.string()).default([]),
  apiServerAddresses: z.array(z.string()).default(['10.96.0.1']),
  /** Names in last good documents, by ownerKey. */
  published: z.record(z.string(), z.array(z.string())).default({}),
  /** CRs, by ownerKey, that are meant not to be readable. */
  unreadable: z.array(z.string()).default([]),
});
type Options = z.output<typeof Options>;

export interface Input {
  readonly resources: Resources;
  readonly options: TranslateOptions;
}

/** Objects in any order; the reading of them is the operator's own. */
export function readInput(text: string): Input {
  const documents = parseAllDocuments(text);
  const objects = (Array.isArray(documents) ? documents : []).map((document) => {
    for (const error of document.errors) throw error;
    return document.toJS();
  });
  const [first, ...rest] = objects;
  const options = Options.parse(first?.kind === 'Options' ? first : { kind: 'Options' });
  return inputOf(first?.kind === 'Options' ? rest : objects, options);
}

export function inputOf(objects: readonly KubeObject[], given: Partial<Options> = {}): Input {
  const options = Options.parse({ kind: 'Options', ...given });
  const { pools, instances, unreadable } = customResources(objects, options);
  const services = facts(objects, 'Service', serviceFacts);
  const slices = facts(objects, 'EndpointSlice', sliceFacts);
  const pods = facts(objects, 'Pod', podFacts);
  const secrets = facts(objects.filter(isVisible(options)), 'Secret', secretFacts);
  return {
    resources: {
      ...{ pools, instances, unreadable },
      services: new Map(services.map((service) => [`${service.namespace}/${service.name}`, service])),
      slices: Map.groupBy(slices, ({ namespace, service }) => `${namespace}/${service}`),
      pods: Map.groupBy(pods, ({ namespace }) => namespace),
      secrets: new Map(secrets.map((secret) => [`${secret.namespace}/${secret.name}`, secret])),
      published: new Map(Object.entries(options.published)),
    },
    options: {
      standalone: options.standalone,
      allowUpstream: options.allowUpstream,
      apiServerAddresses: options.standalone ? [] : options.apiServerAddresses,
      globalNamesFrom: options.globalNamesFrom && new Set(options.globalNamesFrom),
    },
  };
}

/** The watch of a cluster sees labelled Secrets only. */
function isVisible({ standalone }: Options): (object: KubeObject) => boolean {
  return ({ kind, metadata }) =>
    kind !== 'Secret' || standalone || metadata.labels?.['sluice.dev/credential'] === 'true';
}

function facts<T extends ServiceFacts | SliceFacts | PodFacts | SecretFacts>(
  objects: readonly KubeObject[],
  kind: string,
  read: (object: KubeObject) => T | undefined,
): T[] {
  return objects.filter((object) => object.kind === kind).flatMap((object) => read(object) ?? []);
}

const KINDS: readonly Owner['kind'][] = ['LLMPool', 'EmbeddingInstance'];

function customResources(objects: readonly KubeObject[], options: Options) {
  const pools = new Map<string, LLMPool>();
  const instances = new Map<string, EmbeddingInstance>();
  const unreadable = new Map<string, UnreadableFacts>();
  for (const object of objects) {
    const kind = KINDS.find((one) => one === object.kind);
    if (kind === undefined) continue;
    const resource = readCustomResource(kind, object);
    const { key, parsed, problem } = resource;
    if (parsed === undefined && !options.unreadable.includes(key)) throw new Error(`${key}: ${problem}`);
    if (parsed === undefined) unreadable.set(key, resource);
    else if (kind === 'LLMPool') pools.set(keyOf(object), parsed as LLMPool);
    else instances.set(keyOf(object), parsed as EmbeddingInstance);
  }
  return { pools, instances, unreadable };
}
