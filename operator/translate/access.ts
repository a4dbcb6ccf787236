import type { LLMPool } from '../../crds/llm-pool.ts';
import { readAccessKeys } from '../../proxy/config/encode.ts';
import type { CredentialsDocument } from '../../proxy/config/schema.ts';
import { noSecret } from './credentials.ts';
import type { Problem } from './problem.ts';
import type { Resources, TranslateOptions } from './resources.ts';

export type Access = LLMPool['spec']['access'];

/** Who may call, as far as the Secret of `access` says. */
export interface Admitted {
  /** Absent: the Secret is missing, or the CR is open. */
  readonly clients?: NonNullable<CredentialsDocument['clients']>;
  readonly problems: readonly Problem[];
  /** What is there and lets nobody in. */
  readonly remarks: readonly string[];
}

const FIELD = 'spec.access.secretRef';
const SHOWN = 3;

/** Reads the Secret of the CR's own namespace, and no other. */
export function resolveAccess(
  access: Access,
  namespace: string,
  { secrets }: Resources,
  { standalone }: TranslateOptions,
): Admitted {
  if (access === undefined) return { problems: [], remarks: [] };
  const { name } = access.secretRef;
  const data = secrets.get(`${namespace}/${name}`)?.data;
  if (data === undefined) {
    const { reason, message } = noSecret(name, namespace, standalone);
    return { problems: [{ reason, message: `${FIELD}: ${message}; until then nobody is let in` }], remarks: [] };
  }
  const decoded = Object.entries(data).map(([key, value]) => [key, Buffer.from(value, 'base64').toString('utf8')]);
  const { clients, unusable } = readAccessKeys(Object.fromEntries(decoded));
  const more = unusable.length > SHOWN ? [`${unusable.length - SHOWN} more keys likewise`] : [];
  const nobody = Object.keys(clients).length === 0 ? ['no key of it lets anybody in'] : [];
  const remarks = [...unusable.slice(0, SHOWN), ...more, ...nobody].join(', ');
  return {
    clients: { ...clients },
    problems: [],
    remarks: remarks === '' ? [] : [`${FIELD}: Secret '${name}': ${remarks}`],
  };
}
