import type { KubeClient } from '../../kube/client.ts';
import { RESOURCES } from '../../kube/object.ts';
import { type Reflector, reflect } from '../../kube/reflector.ts';
import type { Log } from '../../program/log.ts';
import { type ReadSoFar, startFallback } from './api-fallback.ts';
import type { Documents } from './documents.ts';
import type { ConfigFeed } from './folder.ts';
import { keepLastGood } from './last-good.ts';
import type { SecretData } from './pair.ts';
import {
  CONFIGS,
  CREDENTIALS,
  ENDPOINTS,
  type PublishedSort,
  type PublishedText,
  publishedText,
  secretData,
  sourceOf,
} from './published.ts';

export interface ApiOptions {
  readonly client: KubeClient;
  /** The only namespace anything is read of. */
  readonly namespace: string;
  readonly documents: Documents;
  readonly log: Log;
  /** Where last good documents are kept. Absent: nowhere. */
  readonly snapshotDir?: string | undefined;
  /** How long the API server may take before last good documents are served instead; default 5 s. */
  readonly answerWithinMs?: number;
  /** From a change to its write to `snapshotDir`; default 1 s. */
  readonly writeAfterMs?: number;
}

/**
 * Follows what is published in one namespace, for ever. Credentials are listed once a document names some, the user's
 * own Secrets are asked for by name: a sidecar's account may read nothing else. Starts at once, needs no answer to.
 */
export function followApi(options: ApiOptions): ConfigFeed {
  const { documents, snapshotDir, log, writeAfterMs } = options;
  const reader = createReader(options);
  const keeper =
    snapshotDir === undefined
      ? undefined
      : keepLastGood({ dir: snapshotDir, documents, log, ...(writeAfterMs !== undefined && { writeAfterMs }) });
  const fallback = snapshotDir === undefined ? undefined : startFallback({ ...options, snapshotDir, reader });
  void reader.whenRead.then(async () => {
    await fallback?.supersede();
    documents.settle('api');
    keeper?.complete();
  });
  return {
    stop: async () => {
      await fallback?.stop();
      await reader.stop();
      await keeper?.stop();
    },
  };
}

interface Reader extends ReadSoFar {
  /** Resolves when all that is published has been read whole. */
  readonly whenRead: Promise<void>;
  readonly stop: () => Promise<void>;
}

interface Following {
  readonly sort: PublishedSort;
  readonly reflector: Reflector<PublishedText>;
}

function createReader(options: ApiOptions): Reader {
  const { documents } = options;
  const configs = followSort(options, CONFIGS);
  const endpoints = followSort(options, ENDPOINTS);
  const credentials = Promise.withResolvers<Following>();
  const followings = [configs, endpoints];
  const secrets = new Map<string, Reflector<SecretData>>();

  const followWants = (): void => {
    const wants = documents.wants();
    if (wants.credentials && followings.length === 2) {
      const following = followSort(options, CREDENTIALS);
      followings.push(following);
      credentials.resolve(following);
    }
    followSecrets(options, wants.secrets, secrets);
  };
  const unwatch = documents.watchWants(followWants);
  followWants();

  const read = async (): Promise<void> => {
    await Promise.all([configs.reflector.whenSynced, endpoints.reflector.whenSynced]);
    if (documents.wants().credentials) await (await credentials.promise).reflector.whenSynced;
  };

  return {
    whenRead: read(),
    sources: () =>
      new Set(
        followings.flatMap(({ sort, reflector }) => [...reflector.items.keys()].map((key) => sourceOf(sort, key))),
      ),
    replay: () => {
      for (const { sort, reflector } of followings) {
        for (const [key, text] of reflector.items) take(documents, sort, key, text);
      }
      for (const [secret, reflector] of secrets) {
        if (reflector.synced()) documents.putSecret(secret, reflector.items.get(secret));
      }
    },
    stop: async () => {
      unwatch();
      const reflectors = [...followings.map(({ reflector }) => reflector), ...secrets.values()];
      await Promise.all(reflectors.map((reflector) => reflector.stop()));
    },
  };
}

function followSort({ client, namespace, documents, log }: ApiOptions, sort: PublishedSort): Following {
  const reflector = reflect<PublishedText>({
    ...{ client, namespace, log, resource: sort.resource, labelSelector: sort.label },
    project: (object) => publishedText(sort, object),
    changed: (key, now) => take(documents, sort, key, now),
  });
  return { sort, reflector };
}

function take(documents: Documents, sort: PublishedSort, key: string, now: PublishedText | undefined): void {
  const source = sourceOf(sort, key);
  const owner = sort === CONFIGS ? now?.owner : undefined;
  if (now === undefined) documents.remove(source);
  else if (now.text === undefined) documents.fail(source, `has no ${sort.key}`, owner);
  else documents.put(source, now.text, owner);
}

/** One watch per Secret by name: `resourceNames` in a Role then suffices. Only those of the namespace itself. */
function followSecrets(
  { client, namespace, documents, log }: ApiOptions,
  wanted: ReadonlySet<string>,
  following: Map<string, Reflector<SecretData>>,
): void {
  for (const [secret, reflector] of following) {
    if (wanted.has(secret)) continue;
    following.delete(secret);
    void reflector.stop();
  }
  for (const secret of wanted) {
    if (following.has(secret) || !secret.startsWith(`${namespace}/`)) continue;
    const reflector = reflect<SecretData>({
      ...{ client, namespace, log, resource: RESOURCES.secrets },
      fieldSelector: `metadata.name=${secret.slice(secret.indexOf('/') + 1)}`,
      project: secretData,
      changed: (_, now) => documents.putSecret(secret, now),
    });
    following.set(secret, reflector);
    // Of one that is not there no event tells.
    void reflector.whenSynced.then(() => {
      if (following.get(secret) === reflector && reflector.items.size === 0) documents.putSecret(secret, undefined);
    });
  }
}
