import { isDeepStrictEqual } from 'node:util';
import { stringify } from 'yaml';
import type { Translation } from '../../../operator/translate/translation.ts';
import { canonicalJson } from '../../../proxy/config/encode.ts';
import { BackendDocument, InstanceDocument, PoolDocument } from '../../../proxy/config/schema.ts';

type Fields = Record<string, unknown>;
type Document = PoolDocument | InstanceDocument;

/** Everything translate said, as YAML a reader can compare with the input above it. */
export function renderOutput(translations: ReadonlyMap<string, Translation>, abridged: boolean): string {
  const entries = [...translations].map(([key, translation]) => [key, rendered(translation, abridged)]);
  return stringify(Object.fromEntries(entries), { lineWidth: 0, aliasDuplicateObjects: false });
}

function rendered(translation: Translation, abridged: boolean): Fields {
  const { document, endpoints, credentials, verdicts, models, endpointCount, readyEndpointCount } = translation;
  return {
    document: document && (abridged ? abridge(document) : plain(document)),
    endpoints: endpoints?.map(({ backend, address, port, ready }) =>
      [backend, address, port, ready ? 'ready' : 'not ready'].join(' '),
    ),
    credentials: credentials?.values,
    clients: credentials?.clients,
    status: `models ${JSON.stringify(models)}, ready ${readyEndpointCount}/${endpointCount}`,
    verdicts: Object.fromEntries(
      verdicts.map(({ type, status, reason, message }) => [type, `${status} ${reason}: ${message}`]),
    ),
  };
}

/** As published: without what is undefined, keys sorted. */
export function plain(document: Document): Fields {
  return JSON.parse(canonicalJson(document));
}

/** What a CR that says nothing of it gets. */
const USUAL = {
  LLMPool: { healthCheck: { path: 'models' } },
  EmbeddingInstance: {
    queue: { spillAfterMs: 0 },
    ejection: { rateLimitedMs: 1_000 },
    healthCheck: { path: '/health', intervalMs: 10_000 },
  },
};

/** Without what a reader would take for granted: the members that have the usual defaults. */
function abridge(document: Document): Fields {
  const { kind, namespace, name } = document;
  const head = { format: 1, kind, namespace, name, ...USUAL[kind] };
  const usual =
    kind === 'LLMPool'
      ? PoolDocument.parse({ ...head, firstModel: name })
      : InstanceDocument.parse({ ...head, instanceName: name });
  const short = without(plain(document), { ...usual, kind: undefined, models: undefined, backends: undefined });
  const { backends, backend } = short as { backends?: Fields[]; backend?: Fields };
  return {
    ...short,
    ...(document.healthCheck === undefined && { healthCheck: 'none' }),
    ...(backends && { backends: backends.map(abridgeBackend) }),
    ...(backend && { backend: abridgeBackend(backend) }),
  };
}

function abridgeBackend(backend: Fields): Fields {
  return without(backend, {
    ...BackendDocument.parse({ name: '' }),
    scheme: backend['url'] ? backend['scheme'] : undefined,
  });
}

function without(fields: Fields, usual: Fields): Fields {
  return Object.fromEntries(Object.entries(fields).filter(([name, value]) => !isDeepStrictEqual(value, usual[name])));
}
