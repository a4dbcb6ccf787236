import type { Backend } from '../../crds/llm-pool.ts';
import type { BackendDocument, EndpointEntry } from '../../proxy/config/schema.ts';
import { resolveSent } from './credentials.ts';
import { type Found, findBehindService, findPods, type Place } from './find-endpoints.ts';
import type { Problem } from './problem.ts';
import type { PodFacts, Resources, TranslateOptions } from './resources.ts';
import type { RefuseUpstream } from './upstream.ts';

/** What one backend becomes. */
export interface Resolved {
  /** Absent: something it refers to is missing, and it is left out. */
  readonly document?: BackendDocument;
  readonly endpoints: readonly EndpointEntry[];
  readonly values: ReadonlyMap<string, string>;
  readonly waiting: readonly PodFacts[];
  /** Each begins with the backend's name. */
  readonly problems: readonly Problem[];
}

export interface Surroundings {
  readonly namespace: string;
  readonly resources: Resources;
  readonly options: TranslateOptions;
  readonly refuseUpstream: RefuseUpstream;
}

export function resolveBackend(backend: Backend, surroundings: Surroundings): Resolved {
  const { namespace, resources, options, refuseUpstream } = surroundings;
  const sent = resolveSent(backend, namespace, resources, options);
  const found = findEndpoints(backend, namespace, resources);
  const missing = 'reason' in found ? [...sent.problems, found] : sent.problems;
  if (missing.length > 0 || 'reason' in found) {
    return { endpoints: [], values: new Map(), waiting: [], problems: named(backend, missing) };
  }
  const { called, refused } = sortOut(found.places, refuseUpstream);
  return {
    document: documentOf(backend, sent),
    endpoints: called.map((place) => ({ backend: backend.name, ...place })),
    values: sent.values,
    waiting: found.waiting,
    problems: named(backend, refusals(refused)),
  };
}

function findEndpoints({ service, pods }: Backend, namespace: string, resources: Resources): Found | Problem {
  if (service !== undefined) return findBehindService(service, namespace, resources);
  if (pods !== undefined) return findPods(pods, namespace, resources);
  return { places: [], waiting: [] };
}

interface Refused {
  readonly place: Place;
  readonly why: string;
}

/** Anyone who may write EndpointSlices can write any address into one. */
function sortOut(places: readonly Place[], refuseUpstream: RefuseUpstream): { called: Place[]; refused: Refused[] } {
  const called: Place[] = [];
  const refused: Refused[] = [];
  for (const place of places) {
    const why = refuseUpstream(place.address, place.port);
    if (why === undefined) called.push(place);
    else refused.push({ place, why });
  }
  return { called, refused };
}

const SHOWN = 3;

function refusals(refused: readonly Refused[]): Problem[] {
  const messages = refused.map(({ place, why }) => `endpoint ${place.address} ${why}`).sort();
  const more = messages.length > SHOWN ? [`${messages.length - SHOWN} more endpoints likewise`] : [];
  return [...messages.slice(0, SHOWN), ...more].map((message) => ({ reason: 'UnsupportedService', message }));
}

function named({ name }: Backend, problems: readonly Problem[]): Problem[] {
  const messages = new Map(problems.map(({ reason, message }) => [`backend ${name}: ${message}`, reason]));
  return [...messages].map(([message, reason]) => ({ reason, message }));
}

function documentOf(
  backend: Backend,
  { headers, query, tls }: Pick<BackendDocument, 'headers' | 'query' | 'tls'>,
): BackendDocument {
  const { name, tier, weight, model, modelMap = {}, maxConcurrent } = backend;
  return { name, tier, weight, model, modelMap, maxConcurrent, headers, query, tls, ...addressOf(backend) };
}

/** A slash at the end of a base changes nothing. */
function addressOf({ url, service, pods, tls }: Backend): Pick<BackendDocument, 'url' | 'scheme' | 'path'> {
  const path = withoutFinalSlashes((service ?? pods)?.path ?? '');
  if (url === undefined) return { scheme: tls === undefined ? 'http' : 'https', path };
  const parsed = URL.parse(url);
  // One that cannot be read is of a refused CR, whose references are told all the same.
  if (parsed === null) return { url, scheme: 'http', path };
  const scheme = parsed.protocol === 'https:' ? 'https' : 'http';
  return { url: `${parsed.origin}${withoutFinalSlashes(parsed.pathname)}`, scheme, path };
}

function withoutFinalSlashes(path: string): string {
  let end = path.length;
  while (path[end - 1] === '/') end -= 1;
  return path.slice(0, end);
}
