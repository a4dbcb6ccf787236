import { type EndpointEntry, type Owner, ownerKey } from '../../proxy/config/schema.ts';
import { type Admitted, resolveAccess } from './access.ts';
import { type Resolved, resolveBackend } from './backend.ts';
import { type Claim, type Claims, claimNames } from './claim-names.ts';
import { read } from './reading.ts';
import type { Resources, TranslateOptions } from './resources.ts';
import type { Translation, Verdict } from './translation.ts';
import { createRefuseUpstream } from './upstream.ts';
import { accepted, namesClaimed, notServed, ready, resolvedRefs } from './verdicts.ts';

/** Everything that follows from all CRs, by ownerKey, sorted. Pure: same resources, same bytes. */
export function translate(resources: Resources, options: TranslateOptions): Map<string, Translation> {
  const claims = claimNames(resources, options);
  const owners = ownersOf(resources).map((owner) => [ownerKey(owner), owner] as const);
  const sorted = owners.sort(([a], [b]) => (a < b ? -1 : 1));
  return new Map(sorted.map(([key, owner]) => [key, translateOne(owner, resources, claims, options)]));
}

/**
 * What follows from one CR. Of the others only the claims count, which come from `claimNames`.
 * Throws where the resources have no such CR.
 */
export function translateOne(
  owner: Owner,
  resources: Resources,
  claims: Claims,
  options: TranslateOptions,
): Translation {
  const refuseUpstream = createRefuseUpstream(resources, options);
  const claim = claims.get(ownerKey(owner)) ?? NOTHING;
  const surroundings = { namespace: owner.namespace, resources, options, refuseUpstream };
  const reading = read(owner, claim, surroundings);
  const resolved = reading.backends.map((backend) => resolveBackend(backend, surroundings));
  const admitted = resolveAccess(reading.access, owner.namespace, resources, options);
  const names = namesClaimed(owner, claim, reading.document === undefined);
  const problems = [...admitted.problems, ...resolved.flatMap((one) => one.problems)];
  const references = resolvedRefs(problems, admitted.remarks, resolved.length);
  const said = [accepted(reading.faults), names, references];
  const common = { owner, generation: reading.generation, models: claim.names };
  if (reading.document === undefined) {
    return { ...common, verdicts: [...said, notServed()], endpointCount: 0, readyEndpointCount: 0 };
  }
  const counts = countEndpoints(resolved);
  return {
    ...{ ...common, ...counts, ...credentialsOf(resolved, reading.access && admitted) },
    document: reading.document(resolved.flatMap(({ document }) => document ?? [])),
    endpoints: sortedByPlace(resolved.flatMap(({ endpoints }) => endpoints)),
    verdicts: [...said, readiness(counts, resolved)],
  };
}

/** Of a CR that came after the claims were made. */
const NOTHING: Claim = { names: [], lost: [], isGlobal: false };

function ownersOf({ pools, instances, unreadable }: Resources): Owner[] {
  return [
    ...[...pools.values()].map(({ kind, metadata: { namespace, name } }) => ({ kind, namespace, name })),
    ...[...instances.values()].map(({ kind, metadata: { namespace, name } }) => ({ kind, namespace, name })),
    ...[...unreadable.values()].map(({ owner }) => owner),
  ];
}

type Counts = Pick<Translation, 'endpointCount' | 'readyEndpointCount'>;

/** A url is one endpoint, and ready: whether it answers the proxies find out. */
function countEndpoints(resolved: readonly Resolved[]): Counts {
  const urls = resolved.filter(({ document }) => document?.url !== undefined).length;
  const endpoints = resolved.flatMap((one) => one.endpoints);
  const readyCount = endpoints.filter((entry) => entry.ready).length;
  return { endpointCount: urls + endpoints.length, readyEndpointCount: urls + readyCount };
}

function readiness({ endpointCount, readyEndpointCount }: Counts, resolved: readonly Resolved[]): Verdict {
  return ready(
    endpointCount,
    readyEndpointCount,
    resolved.flatMap(({ waiting }) => waiting),
  );
}

function credentialsOf(
  resolved: readonly Resolved[],
  admitted: Admitted | undefined,
): Pick<Translation, 'credentials'> {
  const values = resolved.flatMap((one) => [...one.values]);
  if (values.length === 0 && admitted === undefined) return {};
  const clients = admitted?.clients && { clients: admitted.clients };
  return { credentials: { values: Object.fromEntries(values.sort(byKey)), ...clients } };
}

function byKey([a]: readonly [string, string], [b]: readonly [string, string]): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function sortedByPlace(entries: readonly EndpointEntry[]): EndpointEntry[] {
  const keyed = entries.map((entry) => [`${entry.backend} ${entry.address} ${entry.port}`, entry] as const);
  return keyed.sort(([a], [b]) => (a < b ? -1 : 1)).map(([, entry]) => entry);
}
