import * as z from 'zod';
import { type Fault, keyword } from './rule.ts';

interface Bounds {
  readonly max: number;
  readonly min?: number;
}

/** A list whose items several field managers may own: one item per value of `key`. */
export function namedList<S extends z.ZodType<object>>(
  item: S,
  { key, ...bounds }: Bounds & { key: string },
): z.ZodArray<S> {
  const keywords = { 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': [key] };
  return keyword(bounded(item, bounds), keywords, (items) =>
    repeated(
      items.map((value) => new Map<string, unknown>(Object.entries(value)).get(key)),
      (index) => [index, key],
    ),
  );
}

/** A list of values, each of which is there once. */
export function setOf<S extends z.ZodType<string>>(item: S, bounds: Bounds): z.ZodArray<S> {
  return keyword(bounded(item, bounds), { 'x-kubernetes-list-type': 'set' }, (items) =>
    repeated(items, (index) => [index]),
  );
}

/** A list that has one owner and an order that means something. */
export function atomicList<S extends z.ZodType>(item: S, bounds: Bounds): z.ZodArray<S> {
  return bounded(item, bounds).meta({ 'x-kubernetes-list-type': 'atomic' });
}

/** Free keys, at most `max` of them. */
export function mapOf<S extends z.ZodType>(value: S, { max, min = 0 }: Bounds): z.ZodRecord<z.ZodString, S> {
  const keywords = { maxProperties: max, ...(min > 0 && { minProperties: min }) };
  return keyword(z.record(z.string(), value), keywords, (entries) => {
    const size = Object.keys(entries).length;
    if (size > max) return [{ path: [], message: `must have at most ${max} entries` }];
    if (size < min) return [{ path: [], message: `must have at least ${min} entries` }];
    return [];
  });
}

function bounded<S extends z.ZodType>(item: S, { max, min = 0 }: Bounds): z.ZodArray<S> {
  const list = z.array(item).max(max);
  return min > 0 ? list.min(min) : list;
}

function repeated(values: readonly unknown[], pathOf: (index: number) => Fault['path']): Fault[] {
  return values.flatMap((value, index) =>
    value !== undefined && values.indexOf(value) < index
      ? [{ path: pathOf(index), message: `Duplicate value: ${JSON.stringify(value)}` }]
      : [],
  );
}
