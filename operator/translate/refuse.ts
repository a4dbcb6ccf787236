import type { EmbeddingInstance } from '../../crds/embedding-instance.ts';
import type { Backend, LLMPool } from '../../crds/llm-pool.ts';
import type { TranslateOptions } from './resources.ts';
import type { RefuseUpstream } from './upstream.ts';

/** Why a CR is not accepted, field by field; empty: it is. What the API server could check is not checked again. */

export function poolFaults(pool: LLMPool, options: TranslateOptions, refuseUpstream: RefuseUpstream): string[] {
  return pool.spec.backends.flatMap((backend, index) => [
    ...targetFaults(`spec.backends[${index}]`, backend, options, refuseUpstream),
    ...headerFaults(`spec.backends[${index}]`, backend),
  ]);
}

export function instanceFaults(
  { spec }: EmbeddingInstance,
  options: TranslateOptions,
  refuseUpstream: RefuseUpstream,
): string[] {
  return [
    ...unsupported('spec.deployment', spec.deployment !== undefined),
    ...targetFaults('spec', spec, options, refuseUpstream),
  ];
}

function unsupported(field: string, isUsed: boolean): string[] {
  return isUsed ? [`${field}: not supported yet`] : [];
}

function targetFaults(
  field: string,
  { url, service, pods }: Pick<Backend, 'url' | 'service' | 'pods'>,
  { standalone }: TranslateOptions,
  refuseUpstream: RefuseUpstream,
): string[] {
  if (url !== undefined) return urlFaults(`${field}.url`, url, refuseUpstream);
  if (!standalone) return [];
  const used = [service && 'service', pods && 'pods'].filter((name) => name !== undefined);
  return used.map((name) => `${field}.${name}: needs a cluster; standalone calls only a url`);
}

function urlFaults(field: string, text: string, refuseUpstream: RefuseUpstream): string[] {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined) return [`${field}: ${JSON.stringify(text)} has no host that can be called`];
  const port = Number(url.port) || (url.protocol === 'https:' ? 443 : 80);
  const refusal = refuseUpstream(url.hostname, port);
  return refusal === undefined ? [] : [`${field}: ${url.hostname} ${refusal}`];
}

/** Header names differ only by their letters' case, which the API server cannot afford to compare. */
function headerFaults(field: string, { auth, headers = [] }: Pick<Backend, 'auth' | 'headers'>): string[] {
  const names = [...(auth ? [auth.header] : []), ...headers.map(({ name }) => name)].map((name) => name.toLowerCase());
  const twice = new Set(names.filter((name, index) => names.indexOf(name) < index));
  return [...twice].map((name) => `${field}.headers: ${name} is set twice`);
}
