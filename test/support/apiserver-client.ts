import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Agent } from 'undici';
import { parseAllDocuments } from 'yaml';
import type { KubeObject } from '../../kube/object.ts';
import { eventually } from './eventually.ts';

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

export interface Answer<T = KubeObject> {
  readonly status: number;
  readonly body: T;
}

/** The least that names an object: `namespace` only where its kind has one. */
export interface Named {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
}

/** Calls to the API server as admin. */
export interface AdminClient {
  /** Gives the answer whatever its status; a body goes as JSON. Throws where the server cannot be reached. */
  readonly call: <T = KubeObject>(
    method: Method,
    path: string,
    body?: unknown,
    contentType?: string,
  ) => Promise<Answer<T>>;
  /** The object at `path`. Throws with the server's words where it is refused. */
  readonly read: <T = KubeObject>(path: string) => Promise<T>;
  /** The path of an object, by its apiVersion and kind. */
  readonly pathOf: (object: Named) => Promise<string>;
  /**
   * Server-side apply (field manager `test` unless named, forced): an object, a YAML file, or a folder of them.
   * Namespaces that are missing are made; a CRD is waited for. Gives the objects as stored, throws with the server's words.
   */
  readonly apply: (what: object | string, fieldManager?: string) => Promise<KubeObject[]>;
  readonly close: () => Promise<void>;
}

/** `caFile` is read at the first call: the server makes it. */
export function openAdminClient(url: string, caFile: string, token: string): AdminClient {
  let agent: Agent | undefined;
  const call: AdminClient['call'] = async <T>(
    method: Method,
    path: string,
    body?: unknown,
    contentType = 'application/json',
  ) => {
    agent ??= new Agent({ connect: { ca: readFileSync(caFile) }, connections: 64 });
    const answer = await agent.request({
      origin: url,
      method,
      path,
      headers: { authorization: `Bearer ${token}`, 'content-type': contentType, accept: 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: answer.statusCode, body: parsed(await answer.body.text()) as T };
  };
  const read: AdminClient['read'] = async <T>(path: string) => mustSucceed(await call<T>('GET', path), `GET ${path}`);
  const pathOf = pathFinder(read);
  return {
    ...{ call, read, pathOf },
    apply: async (what, fieldManager = 'test') => {
      const stored: KubeObject[] = [];
      for (const object of objectsOf(what)) stored.push(await applyOne({ call, read, pathOf }, object, fieldManager));
      return stored;
    },
    close: async () => agent?.destroy(),
  };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

export function mustSucceed<T>(answer: Answer<T>, what: string): T {
  if (answer.status < 300) return answer.body;
  const words = (answer.body as { message?: string }).message ?? JSON.stringify(answer.body);
  throw new Error(`${what}: ${answer.status} ${words}`);
}

function objectsOf(what: object | string): KubeObject[] {
  if (typeof what !== 'string') return [what as KubeObject];
  if (statSync(what).isDirectory()) {
    const files = readdirSync(what).filter((name) => /\.ya?ml$/.test(name));
    return files.sort().flatMap((name) => objectsOf(join(what, name)));
  }
  return parseAllDocuments(readFileSync(what, 'utf8')).flatMap((document) => {
    if (document.errors[0]) throw new Error(`${what}: ${document.errors[0].message}`);
    const object = document.toJS() as KubeObject | null;
    return object === null ? [] : [object];
  });
}

async function applyOne(
  client: Pick<AdminClient, 'call' | 'read' | 'pathOf'>,
  object: KubeObject,
  fieldManager: string,
): Promise<KubeObject> {
  const { name, namespace } = object.metadata;
  if (namespace !== undefined) await ensureNamespace(client, namespace);
  const path = await client.pathOf(object);
  const query = `?fieldManager=${encodeURIComponent(fieldManager)}&force=true&fieldValidation=Strict`;
  const answer = await client.call('PATCH', path + query, object, 'application/apply-patch+yaml');
  const stored = mustSucceed(answer, `apply ${object.kind} ${name}`);
  if (object.kind === 'CustomResourceDefinition') await whenServed(client, stored);
  return stored;
}

export async function ensureNamespace(client: Pick<AdminClient, 'call'>, name: string): Promise<void> {
  const answer = await client.call('POST', '/api/v1/namespaces', { metadata: { name } });
  if (answer.status !== 409) mustSucceed(answer, `create Namespace ${name}`);
}

/** Waits until a CRD's kind can be used: established, and its collection answers. */
async function whenServed(client: Pick<AdminClient, 'call'>, crd: KubeObject): Promise<void> {
  const spec = crd['spec'] as { group: string; names: { plural: string }; versions: { name: string }[] };
  const path = `/apis/${spec.group}/${spec.versions[0]?.name}/${spec.names.plural}?limit=1`;
  await eventually(`CRD ${crd.metadata.name} served`, async () => (await client.call('GET', path)).status === 200);
}

/** Finds the plural and the scope of a kind in the server's discovery, once per kind. */
function pathFinder(read: AdminClient['read']): AdminClient['pathOf'] {
  const known = new Map<string, { plural: string; namespaced: boolean }>();
  return async ({ apiVersion = 'v1', kind = '', metadata }) => {
    const base = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
    let entry = known.get(`${apiVersion} ${kind}`);
    if (entry === undefined) {
      const list = await read<{ resources: { name: string; kind: string; namespaced: boolean }[] }>(base);
      const found = list.resources.find((resource) => resource.kind === kind && !resource.name.includes('/'));
      if (found === undefined) throw new Error(`the API server knows no ${kind} in ${apiVersion}`);
      entry = { plural: found.name, namespaced: found.namespaced };
      known.set(`${apiVersion} ${kind}`, entry);
    }
    const scope = entry.namespaced ? `/namespaces/${metadata.namespace ?? 'default'}` : '';
    return `${base}${scope}/${entry.plural}/${metadata.name}`;
  };
}
