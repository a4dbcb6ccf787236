import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { stringify } from 'yaml';
import { definition, KINDS } from './definition.ts';
import { reference } from './reference.ts';
import { GROUP } from './resource.ts';

/**
 * Writes what follows from the schemas: the CustomResourceDefinitions, the chart's copy of them, and docs/api.md.
 * With --check it writes nothing, and exits 1 naming the files that are not up to date.
 */
const root = join(import.meta.dirname, '..');
const SOURCE = '# Written by `node crds/generate.ts` from the schemas beside it. Change those.\n';

/** Every generated file by its path in the project. */
export function generated(): ReadonlyMap<string, string> {
  const files = new Map<string, string>();
  for (const kind of KINDS) {
    const text = SOURCE + stringify(definition(kind), { lineWidth: 0, aliasDuplicateObjects: false });
    const name = `${GROUP}_${kind.plural}.yaml`;
    files.set(`crds/${name}`, text);
    files.set(`charts/sluice/files/crds/${name}`, text);
  }
  return files.set('docs/api.md', reference(KINDS));
}

function stale(): string[] {
  return [...generated()].filter(([path, text]) => current(path) !== text).map(([path]) => path);
}

function current(path: string): string | undefined {
  try {
    return readFileSync(join(root, path), 'utf8');
  } catch {
    return undefined;
  }
}

function write(): void {
  for (const [path, text] of generated()) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
}

function main(): void {
  if (!process.argv.includes('--check')) {
    write();
    return;
  }
  const paths = stale();
  if (paths.length === 0) return;
  process.stderr.write(`not up to date, run node crds/generate.ts: ${paths.join(', ')}\n`);
  process.exitCode = 1;
}

if (import.meta.main) main();
