import { ApiError } from '../kube/api-error.ts';
import type { KubeClient } from '../kube/client.ts';
import { pathOf, RESOURCES } from '../kube/object.ts';
import type { Log } from '../program/log.ts';
import type { CustomResource } from './custom-resource.ts';
import type { Metrics } from './metrics.ts';
import type { Names } from './names.ts';
import type { Clock } from './pace.ts';
import type { Publisher } from './publish.ts';
import { ownerFrom } from './published-object.ts';
import type { Reporter } from './report.ts';
import type { Store } from './store.ts';
import type { TranslateOptions } from './translate/resources.ts';
import { translateOne } from './translate/translate.ts';
import type { Translation } from './translate/translation.ts';

/** A CR that gives a name up waits this long for the one that takes it over: no client is to find neither. */
const HAND_OVER_MS = 100;
const HAND_OVER_LOOK_MS = 5;
/** After the API server still knew a CR that the watch had called gone. */
const DOUBT_MS = 1_000;

export interface ControllerOptions {
  readonly client: KubeClient;
  readonly store: Store;
  readonly names: Names;
  readonly translate: TranslateOptions;
  readonly publisher: Publisher;
  readonly reporter: Reporter;
  readonly metrics: Metrics;
  /** Empty: all. */
  readonly watchNamespaces: readonly string[];
  /** Whether anything may be written now. */
  readonly isActive: () => boolean;
  /** Asks for another turn of the key. */
  readonly again: (key: string, afterMs: number) => void;
  readonly log: Log;
  readonly clock: Clock;
}

/** Brings what is published and said of one CR to what it says now. A rejection means: again, later. */
export function createController(options: ControllerOptions): (key: string) => Promise<void> {
  const reconcile = createReconcile(options);
  return async (key) => {
    // Level-triggered: who becomes active asks for every key.
    if (!options.isActive()) return;
    const end = options.metrics.reconcileSeconds.startTimer();
    try {
      await reconcile(key);
    } catch (error) {
      options.metrics.reconcileErrors.inc();
      throw error;
    } finally {
      end();
    }
  };
}

function createReconcile(options: ControllerOptions): (key: string) => Promise<void> {
  const { store, names, publisher, reporter, again } = options;
  const mayLose = createHandOver(options);

  const withdraw = async (key: string): Promise<void> => {
    names.current();
    names.done(key);
    reporter.forget(key);
    if (store.published.of(key).length === 0) return;
    if (!mayLose(key, [])) return again(key, HAND_OVER_LOOK_MS);
    // A list that lied costs a look; taking away what is in use would cost every call.
    if (await isThere(options, key)) return again(key, DOUBT_MS);
    await publisher.withdraw(key);
  };

  return async (key) => {
    await store.inputs.fill(key);
    const resource = store.get(key);
    if (resource === undefined) return withdraw(key);
    const translation = translated(options, resource);
    if (translation.document && !mayLose(key, translation.models)) {
      return again(key, HAND_OVER_LOOK_MS);
    }
    const publication = await publisher.publish(resource, translation);
    names.done(key);
    const reportMs = await reporter.report(resource, translation, publication);
    const waits = [publication.againMs, reportMs].filter((ms) => ms !== undefined && ms > 0);
    if (waits.length > 0) again(key, Math.min(...(waits as number[])));
  };
}

function translated({ store, names, translate }: ControllerOptions, resource: CustomResource): Translation {
  return translateOne(resource.owner, store.inputs.resources, names.current(), translate);
}

/** Whether a CR may give up the published names it does not keep: not while another is about to publish one of them. */
function createHandOver(options: ControllerOptions): (key: string, kept: readonly string[]) => boolean {
  const { store, names, clock } = options;
  const waitingSince = new Map<string, number>();
  const isAboutToGain = (other: string, lost: readonly string[]): boolean => {
    const has = store.published.names.get(other) ?? [];
    const resource = store.get(other);
    const gets = resource ? translated(options, resource).models : [];
    return lost.some((name) => gets.includes(name) && !has.includes(name));
  };
  return (key, kept) => {
    const lost = (store.published.names.get(key) ?? []).filter((name) => !kept.includes(name));
    const others = lost.length === 0 ? [] : [...names.awaiting()].filter((other) => other !== key);
    const since = waitingSince.get(key) ?? clock();
    if (clock() - since < HAND_OVER_MS && others.some((other) => isAboutToGain(other, lost))) {
      waitingSince.set(key, since);
      return false;
    }
    waitingSince.delete(key);
    return true;
  };
}

/** Asks the API server itself whether a CR exists. One in a namespace that is not watched is none of ours. */
async function isThere({ client, watchNamespaces, log }: ControllerOptions, key: string): Promise<boolean> {
  const owner = ownerFrom(key);
  if (owner === undefined) return false;
  const { kind, namespace, name } = owner;
  if (watchNamespaces.length > 0 && !watchNamespaces.includes(namespace)) return false;
  const resource = kind === 'LLMPool' ? RESOURCES.llmPools : RESOURCES.embeddingInstances;
  try {
    await client.call({ path: pathOf(resource, { namespace, name }) });
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return false;
    throw error;
  }
  log.warn({ resource: key }, 'the watch says it is gone, the API server has it: nothing is taken away');
  return true;
}
