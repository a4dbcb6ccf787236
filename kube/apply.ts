import { ApiError } from './api-error.ts';
import type { KubeClient } from './client.ts';
import { type KubeObject, pathOf, type Resource } from './object.ts';

export interface ApplyOptions {
  readonly fieldManager: string;
  /** Takes fields over that another manager set; default true, for what is ours alone. */
  readonly force?: boolean;
  readonly subresource?: 'status' | 'scale';
  readonly signal?: AbortSignal;
}

/**
 * Server-side apply: creates the object, or makes the fields given here ours and removes those that were ours and are
 * gone. apiVersion and kind come from the resource. Resolves with the object as stored. An apply that changes nothing
 * keeps the resourceVersion, but is a call all the same: compare before.
 */
export function apply(
  client: KubeClient,
  resource: Resource,
  object: KubeObject,
  { fieldManager, force = true, subresource, signal }: ApplyOptions,
): Promise<KubeObject> {
  const { name, namespace } = object.metadata;
  const apiVersion = resource.group === '' ? resource.version : `${resource.group}/${resource.version}`;
  return client.call({
    method: 'PATCH',
    path: pathOf(resource, { namespace, name, subresource }),
    query: { fieldManager, force: String(force) },
    // Its body is YAML by name; JSON is YAML.
    contentType: 'application/apply-patch+yaml',
    body: { ...object, apiVersion, kind: resource.kind },
    ...(signal && { signal }),
  });
}

/** What the object must still be, or the API server answers 409 and keeps it. */
export interface Preconditions {
  readonly uid?: string | undefined;
  readonly resourceVersion?: string | undefined;
}

/** Deletes an object; what it owns follows in the background. Resolves with false where there was none. */
export async function remove(
  client: KubeClient,
  resource: Resource,
  { namespace, name }: { readonly namespace: string; readonly name: string },
  preconditions: Preconditions = {},
): Promise<boolean> {
  const body = { apiVersion: 'v1', kind: 'DeleteOptions', propagationPolicy: 'Background', preconditions };
  try {
    await client.call({ method: 'DELETE', path: pathOf(resource, { namespace, name }), body });
    return true;
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return false;
    throw error;
  }
}
