import type { Door } from './door.ts';

/** The value of the one series whose labels hold these; undefined where there is none. */
export async function seriesOf(door: Door, name: string, labels: Record<string, string>): Promise<number | undefined> {
  const wanted = Object.entries(labels).map(([key, value]) => `${key}="${value}"`);
  const lines = (await door.metrics())
    .split('\n')
    .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
  const found = lines.filter((line) => wanted.every((label) => line.includes(label)));
  if (found.length > 1) throw new Error(`${found.length} series of ${name} have ${wanted.join(', ')}`);
  return found[0] === undefined ? undefined : Number(found[0].slice(found[0].lastIndexOf(' ')));
}
