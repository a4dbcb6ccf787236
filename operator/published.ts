import { ownerKey } from '../proxy/config/schema.ts';
import type { Part } from './object-names.ts';
import { type Place, type PublishedObject, resourceOf } from './published-object.ts';

/** Every object of ours that is there: as watched, and as our own writes were answered, whichever is newer. */
export interface Published {
  /** Of one CR, by ownerKey. */
  readonly of: (key: string) => readonly PublishedObject[];
  /** Where two objects stand for the same, the first by name, which is the one that proxies use. */
  readonly find: (place: Place) => PublishedObject | undefined;
  readonly named: (part: Part, namespace: string, name: string) => PublishedObject | undefined;
  /** ownerKeys of all CRs that have one. */
  readonly keys: () => Iterable<string>;
  /** Flat names of the documents in the operator's own namespace, by ownerKey. */
  readonly names: ReadonlyMap<string, readonly string[]>;
  readonly wrote: (object: PublishedObject) => void;
  readonly removed: (object: PublishedObject) => void;
  /** Takes a watched difference, and gives the ownerKeys of those whose objects are not as we left them. */
  readonly observe: (now: PublishedObject | undefined, before: PublishedObject | undefined) => readonly string[];
}

/** `namesChanged` is called after each change of `names`. */
export function createPublished(ownNamespace: string, namesChanged: () => void): Published {
  const objects = new Map<string, PublishedObject>();
  const byOwner = new Map<string, Map<string, PublishedObject>>();
  const names = new Map<string, readonly string[]>();

  const of = (key: string): readonly PublishedObject[] => [...(byOwner.get(key)?.values() ?? [])];

  const find = ({ owner, part, piece, namespace }: Place): PublishedObject | undefined => {
    const isThere = (object: PublishedObject): boolean =>
      object.part === part && object.piece === piece && object.namespace === namespace;
    return of(ownerKey(owner)).filter(isThere).sort(byName)[0];
  };

  const refreshNames = (object: PublishedObject): void => {
    if (object.part !== 'config' || object.namespace !== ownNamespace) return;
    const key = ownerKey(object.owner);
    const before = names.get(key);
    const now = find({ ...object, piece: 0 })?.names;
    if (now === undefined) names.delete(key);
    else names.set(key, now);
    if (before?.join('\n') !== now?.join('\n')) namesChanged();
  };

  const drop = (object: PublishedObject): void => {
    const at = addressOf(object.part, object.namespace, object.name);
    const key = ownerKey(object.owner);
    objects.delete(at);
    byOwner.get(key)?.delete(at);
    if (byOwner.get(key)?.size === 0) byOwner.delete(key);
    refreshNames(object);
  };

  const put = (object: PublishedObject): void => {
    const at = addressOf(object.part, object.namespace, object.name);
    const other = objects.get(at);
    if (other !== undefined && ownerKey(other.owner) !== ownerKey(object.owner)) drop(other);
    const key = ownerKey(object.owner);
    objects.set(at, object);
    byOwner.set(key, (byOwner.get(key) ?? new Map<string, PublishedObject>()).set(at, object));
    refreshNames(object);
  };

  const observe: Published['observe'] = (now, before) => {
    const watched = now ?? before;
    if (watched === undefined) return [];
    const known = objects.get(addressOf(watched.part, watched.namespace, watched.name));
    if (now === undefined) {
      if (known === undefined || known.uid !== watched.uid) return [];
      drop(known);
      return [ownerKey(known.owner)];
    }
    if (known !== undefined && !isNewer(now, known)) return [];
    put(now);
    if (known !== undefined && isAlike(known, now)) return [];
    return [...new Set([ownerKey(now.owner), ...(known ? [ownerKey(known.owner)] : [])])];
  };

  return {
    of,
    find,
    named: (part, namespace, name) => objects.get(addressOf(part, namespace, name)),
    keys: () => byOwner.keys(),
    names,
    wrote: (object) => {
      const known = objects.get(addressOf(object.part, object.namespace, object.name));
      if (known === undefined || isNewer(object, known)) put(object);
    },
    removed: drop,
    observe,
  };
}

function addressOf(part: Part, namespace: string, name: string): string {
  return `${resourceOf(part).plural}/${namespace}/${name}`;
}

function byName(a: PublishedObject, b: PublishedObject): number {
  return a.name < b.name ? -1 : 1;
}

type Versioned = Pick<PublishedObject, 'resourceVersion'>;

/** Versions of one resource grow; where one is no number, the later word counts. */
export function isNewer(a: Versioned, b: Versioned): boolean {
  const numbers = /^\d+$/;
  if (!numbers.test(a.resourceVersion) || !numbers.test(b.resourceVersion)) return true;
  return BigInt(a.resourceVersion) > BigInt(b.resourceVersion);
}

function isAlike(a: PublishedObject, b: PublishedObject): boolean {
  return a.uid === b.uid && a.digest === b.digest && a.marks === b.marks && a.owners.join() === b.owners.join();
}
