/** Small seeded generator (mulberry32): the same seed, the same run. */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const VALUES: readonly unknown[] = [
  ...[null, true, false, [], {}, [null], { a: null }, { name: 'a' }, [{ name: 'a' }], [{}], ['a'], ['a', 'a']],
  ...[0, 1, -1, 1.5, 9, 10, 11, 1_000, 65_535, 65_536, 1_000_000, 1_000_001, 2 ** 53],
  ...['', 'a', 'A', '0', '8000', '0s', '5s', '1ms', '24h', '25h', '1h1', 'http://a', 'https://A.b:1/c', 'a b', 'a\n'],
  ...['health', '..', '/', '/v1', 'Bearer', 'True', 'Host', '10Gi', '-1', '1e3', '.5', 'ü', '\u2028', '🐑'.repeat(63)],
  ...['a'.repeat(63), 'a'.repeat(64), '🐑'.repeat(256), 'http://169.254.1.1', 'http://[::1]:80', 'Weighted'],
];

/** A copy of the value in which one place, anywhere, is replaced, removed, doubled, or given a field too much. */
export function mutate(value: unknown, random: () => number): unknown {
  const pick = <T>(list: readonly T[]): T | undefined => list[Math.floor(random() * list.length)];
  if (typeof value !== 'object' || value === null) return pick(VALUES);
  const deeper = random() < 0.8;
  if (Array.isArray(value)) {
    if (value.length === 0) return [pick(VALUES)];
    const at = Math.floor(random() * value.length);
    if (deeper) return value.with(at, mutate(value[at], random));
    return random() < 0.5 ? [...value, value[at]] : value.with(at, pick(VALUES));
  }
  const name = pick(Object.keys(value));
  if (name === undefined) return { a: pick(VALUES) };
  const { [name]: field, ...rest } = value as Record<string, unknown>;
  if (deeper) return { ...rest, [name]: mutate(field, random) };
  const choice = random();
  if (choice < 0.4) return rest;
  return choice < 0.6 ? { ...value, unheardOf: 1 } : { ...rest, [name]: pick(VALUES) };
}
