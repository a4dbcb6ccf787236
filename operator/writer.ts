import { ApiError } from '../kube/api-error.ts';
import { remove } from '../kube/apply.ts';
import type { KubeClient } from '../kube/client.ts';
import { type KubeObject, pathOf } from '../kube/object.ts';
import { ownerKey } from '../proxy/config/schema.ts';
import { objectNames } from './object-names.ts';
import type { Published } from './published.ts';
import {
  FIELD_MANAGER,
  isAsWanted,
  objectFor,
  type Place,
  type PublishedObject,
  readPublished,
  resourceOf,
  type Wanted,
} from './published-object.ts';

/** An object that is not ours bears the name: it is never touched. */
export class ObjectExistsError extends Error {}

export interface Writer {
  /** Throws ObjectExistsError where the name of an object that is still to be made is taken; asks the API server itself. */
  readonly probe: (place: Place) => Promise<void>;
  /** Makes it so; gives whether that took a write. Throws ObjectExistsError, ApiError. */
  readonly put: (wanted: Wanted) => Promise<boolean>;
  readonly remove: (object: PublishedObject) => Promise<void>;
}

export function createWriter(options: { client: KubeClient; published: Published; install: string }): Writer {
  const { client, published, install } = options;
  /** Names between their choice and the answer: another CR's key may be at work on the same one. */
  const chosen = new Set<string>();

  const read = async (place: Place, name: string): Promise<KubeObject | undefined> => {
    try {
      return await client.call({ path: pathOf(resourceOf(place.part), { namespace: place.namespace, name }) });
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return undefined;
      throw error;
    }
  };

  /** Takes note of what bears the name. Throws where it is not ours. */
  const look = async (place: Place, name: string): Promise<PublishedObject | undefined> => {
    const object = await read(place, name);
    if (object === undefined) return undefined;
    const ours = readPublished(object, resourceOf(place.part), install);
    if (ours === undefined) throw new ObjectExistsError(existsText(place, name));
    published.wrote(ours);
    return ours;
  };

  const isFree = (place: Place, name: string): boolean => {
    const holder = published.named(place.part, place.namespace, name);
    const isOthers = holder !== undefined && !isSamePlace(holder, place);
    return !isOthers && !chosen.has(`${place.part}/${place.namespace}/${name}`);
  };

  const freeName = (place: Place): string => {
    const name = objectNames(place.owner, place.part, place.piece).find((candidate) => isFree(place, candidate));
    if (name === undefined) throw new Error(`no free name for the ${place.part} of ${ownerKey(place.owner)}`);
    return name;
  };

  const probe: Writer['probe'] = async (place) => {
    while (published.find(place) === undefined) {
      // One that is ours but another CR's takes the next name.
      if ((await look(place, freeName(place))) === undefined) return;
    }
  };

  const create = async (wanted: Wanted): Promise<boolean> => {
    const name = freeName(wanted);
    const claim = `${wanted.part}/${wanted.namespace}/${name}`;
    chosen.add(claim);
    try {
      const made = await client.call({
        method: 'POST',
        path: pathOf(resourceOf(wanted.part), { namespace: wanted.namespace }),
        query: { fieldManager: FIELD_MANAGER },
        body: objectFor(wanted, install, { name }),
      });
      note(made, wanted);
      return true;
    } catch (error) {
      if (!(error instanceof ApiError && error.reason === 'AlreadyExists')) throw error;
      await look(wanted, name);
    } finally {
      chosen.delete(claim);
    }
    return put(wanted);
  };

  /**
   * A merge patch of the very version we know, not an apply: the owner is to be replaced, and what POST made belongs to
   * another manager than what an apply sets, which then could not take it away.
   */
  const update = async (present: PublishedObject, wanted: Wanted): Promise<boolean> => {
    const { namespace, name } = present;
    try {
      const made = await client.call({
        method: 'PATCH',
        path: pathOf(resourceOf(wanted.part), { namespace, name }),
        query: { fieldManager: FIELD_MANAGER },
        contentType: 'application/merge-patch+json',
        body: objectFor(wanted, install, present),
      });
      note(made, wanted);
      return true;
    } catch (error) {
      if (!(error instanceof ApiError && (error.status === 404 || error.reason === 'Conflict'))) throw error;
      published.removed(present);
      await look(wanted, name);
    }
    return put(wanted);
  };

  const note = (made: KubeObject, wanted: Wanted): void => {
    const object = readPublished(made, resourceOf(wanted.part), install);
    if (object !== undefined) published.wrote(object);
  };

  const put: Writer['put'] = async (wanted) => {
    const present = published.find(wanted);
    if (present === undefined) return create(wanted);
    return isAsWanted(present, wanted, install) ? false : update(present, wanted);
  };

  const take: Writer['remove'] = async (object) => {
    try {
      await remove(client, resourceOf(object.part), object, { uid: object.uid });
    } catch (error) {
      // Another object bears its name by now.
      if (!(error instanceof ApiError && error.status === 409)) throw error;
    }
    published.removed(object);
  };

  return { probe, put, remove: take };
}

function isSamePlace(a: Place, b: Place): boolean {
  return (
    ownerKey(a.owner) === ownerKey(b.owner) && a.part === b.part && a.piece === b.piece && a.namespace === b.namespace
  );
}

function existsText(place: Place, name: string): string {
  const { kind } = resourceOf(place.part);
  return `${kind} ${place.namespace}/${name} exists and is not Sluice's: delete or rename it`;
}
