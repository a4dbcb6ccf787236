import type { Owner } from '../../proxy/config/schema.ts';
import type { Claim } from './claim-names.ts';
import type { Problem } from './problem.ts';
import type { PodFacts } from './resources.ts';
import type { ConditionType, Verdict } from './translation.ts';

/** Faults name their field; none: it is accepted. */
export function accepted(faults: readonly string[]): Verdict {
  return faults.length === 0
    ? yes('Accepted', 'the object is served as it says')
    : no('Accepted', 'Invalid', faults.join('; '));
}

export function namesClaimed(
  { namespace, name }: Owner,
  { names, lost, isGlobal }: Claim,
  isRefused: boolean,
): Verdict {
  const path = `${namespace}/${name}`;
  if (lost.length > 0) {
    const losses = lost.map((one) => `${JSON.stringify(one.name)} is held by ${titleOf(one.winner)}`);
    return no('NamesClaimed', 'NameConflict', `${losses.join('; ')}; this one is reachable as ${path}`);
  }
  if (isRefused) return yes('NamesClaimed', `not accepted: it keeps ${listed(names)}`);
  if (!isGlobal) return yes('NamesClaimed', `reachable as ${path} only: --global-names-from leaves out ${namespace}`);
  return yes('NamesClaimed', `reachable as ${listed([...names, path])}`);
}

/**
 * The first problem gives the reason, the message lists all, and then the remarks, which alone are none. `lookedUp`: of
 * how many backends the references were.
 */
export function resolvedRefs(problems: readonly Problem[], remarks: readonly string[], lookedUp: number): Verdict {
  const [first] = problems;
  if (lookedUp === 0) return yes('ResolvedRefs', 'not accepted: nothing was looked up');
  const said = (messages: readonly string[]) => [...messages, ...remarks].join('; ');
  if (first === undefined) return yes('ResolvedRefs', said(['all that it refers to is there']));
  return no('ResolvedRefs', first.reason, said(problems.map(({ message }) => message)));
}

export function ready(endpoints: number, readyEndpoints: number, waiting: readonly PodFacts[]): Verdict {
  if (readyEndpoints > 0) return yes('Ready', `${readyEndpoints} of ${endpoints} endpoints are ready`);
  const [first] = waiting.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  if (first !== undefined) return no('Ready', first.reason, `Pod ${first.name}: ${first.reason}`);
  return no('Ready', 'NoReadyEndpoints', endpoints === 0 ? 'there is no endpoint' : `none of ${endpoints} is ready`);
}

/** Of a refused CR; where a document of it is served, what was said of that one stays (CONTRACT §2.2). */
export function notServed(): Verdict {
  return no('Ready', 'NoReadyEndpoints', 'not accepted: nothing new is served');
}

function titleOf({ kind, namespace, name }: Owner): string {
  return `${kind} ${namespace}/${name}`;
}

function listed(names: readonly string[]): string {
  return names.length === 0 ? 'no name' : names.join(', ');
}

function yes(type: ConditionType, message: string): Verdict {
  return { type, status: 'True', reason: type, message };
}

function no(type: ConditionType, reason: string, message: string): Verdict {
  return { type, status: 'False', reason, message };
}
