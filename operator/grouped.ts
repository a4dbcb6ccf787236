/** Lists by group, kept in place: one change costs the same whatever the size of its group. */
export interface Grouped<T> {
  readonly groups: ReadonlyMap<string, readonly T[]>;
  /** `item` undefined: the key has none any more. A key may move to another group. */
  readonly set: (key: string, group: string, item: T | undefined) => void;
}

export function createGrouped<T>(): Grouped<T> {
  const groups = new Map<string, T[]>();
  /** The key of each item, at its place in its group. */
  const keys = new Map<string, string[]>();
  const places = new Map<string, { group: string; index: number }>();

  const remove = (key: string): void => {
    const place = places.get(key);
    if (place === undefined) return;
    places.delete(key);
    const items = groups.get(place.group) ?? [];
    const names = keys.get(place.group) ?? [];
    // The last one takes the place that is free now.
    const [item, name] = [items.pop(), names.pop()];
    if (item !== undefined && name !== undefined && name !== key) {
      items[place.index] = item;
      names[place.index] = name;
      places.set(name, place);
    }
    if (items.length > 0) return;
    groups.delete(place.group);
    keys.delete(place.group);
  };

  const add = (key: string, group: string, item: T): void => {
    const items = groups.get(group) ?? [];
    const names = keys.get(group) ?? [];
    places.set(key, { group, index: items.length });
    items.push(item);
    names.push(key);
    groups.set(group, items);
    keys.set(group, names);
  };

  const set: Grouped<T>['set'] = (key, group, item) => {
    const place = places.get(key);
    const items = groups.get(group);
    if (item !== undefined && items !== undefined && place?.group === group) {
      items[place.index] = item;
      return;
    }
    remove(key);
    if (item !== undefined) add(key, group, item);
  };

  return { groups, set };
}
