import { ApiError } from '../kube/api-error.ts';
import type { KubeClient } from '../kube/client.ts';
import { pathOf, RESOURCES } from '../kube/object.ts';
import type { Log } from '../program/log.ts';
import { CONDITION_TYPES, type Conditions } from './conditions.ts';
import type { CustomResource } from './custom-resource.ts';
import type { Bucket } from './pace.ts';

/** events.k8s.io: note has at most 1 KiB. */
const MAX_NOTE = 1_000;
const MAX_NAME = 253;

export interface EventsOptions {
  readonly client: KubeClient;
  /** One per reason per CR in 5 min. */
  readonly bucket: Bucket;
  /** This operator's own name: a pod's. */
  readonly instance: string;
  readonly log: Log;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly random: () => number;
}

/** Tells each change of a condition as an Event beside the CR. Nothing waits for it; one that is refused is lost. */
export type Events = (resource: CustomResource, before: Conditions, after: Conditions) => void;

export function createEvents(options: EventsOptions): Events {
  const { client, bucket, log } = options;
  const send = async (resource: CustomResource, body: object): Promise<void> => {
    try {
      await client.call({
        method: 'POST',
        path: pathOf(RESOURCES.events, { namespace: resource.owner.namespace }),
        body,
      });
    } catch (error) {
      const reason = error instanceof ApiError ? error.message : String(error);
      log.debug({ resource: resource.key, reason }, 'an Event was refused');
    }
  };
  return (resource, before, after) => {
    for (const type of CONDITION_TYPES) {
      const [was, is] = [before[type], after[type]];
      if (is === undefined || (was?.status === is.status && was.reason === is.reason)) continue;
      if (bucket.take(`${resource.key} ${is.reason}`) > 0) continue;
      void send(resource, eventOf(options, resource, is));
    }
  };
}

type Condition = NonNullable<Conditions[keyof Conditions]>;

function eventOf({ instance, now, random }: EventsOptions, resource: CustomResource, condition: Condition): object {
  const { kind, namespace, name } = resource.owner;
  const unique = `.${now().toString(16)}${Math.floor(random() * 2 ** 32).toString(16)}`;
  const isGood = condition.status === 'True' || condition.reason === 'Pending';
  const note = `${condition.type} is ${condition.status}${condition.message === '' ? '' : `: ${condition.message}`}`;
  return {
    apiVersion: 'events.k8s.io/v1',
    kind: 'Event',
    metadata: { name: `${name.slice(0, MAX_NAME - unique.length)}${unique}`, namespace },
    // Microseconds, which JavaScript has not.
    eventTime: new Date(now()).toISOString().replace('Z', '000Z'),
    reportingController: 'sluice.dev/operator',
    reportingInstance: instance.slice(0, 128),
    action: 'Reconcile',
    reason: condition.reason,
    regarding: {
      apiVersion: 'sluice.dev/v1alpha1',
      ...{ kind, namespace, name, uid: resource.uid, resourceVersion: resource.resourceVersion },
    },
    note: note.length <= MAX_NOTE ? note : `${note.slice(0, MAX_NOTE - 1)}…`,
    type: isGood ? 'Normal' : 'Warning',
  };
}
