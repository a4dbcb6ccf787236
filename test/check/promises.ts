import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** How many promises each of the five programs made: M-1 … M-11 and so on. */
const PROMISES = { M: 11, V: 12, P: 26, T: 20, R: 20 } as const;
const STATES = ['kept', 'open', 'not ours'];

export interface Verdict {
  /** What is wrong, one line each; `make check` fails where there is any. */
  readonly faults: readonly string[];
  /** Ids that Sluice has a form for and no test names yet. */
  readonly open: readonly string[];
  readonly kept: readonly string[];
}

/** Holds the table of docs/compatibility.md against the ids that test names carry. */
export function judge(document: string, testSources: readonly string[]): Verdict {
  const rows = rowsOf(document);
  const states = new Map(rows);
  const tested = new Set(testSources.flatMap(idsInNames));
  const wanted = Object.entries(PROMISES).flatMap(([letter, count]) =>
    Array.from({ length: count }, (_, index) => `${letter}-${index + 1}`),
  );
  const faults = [
    ...wanted.filter((id) => !states.has(id)).map((id) => `${id} has no row`),
    ...rows.filter(([id], at) => rows.findIndex(([other]) => other === id) !== at).map(([id]) => `${id} has two rows`),
    ...rows.filter(([id]) => !wanted.includes(id)).map(([id]) => `${id} is no promise`),
    ...rows.filter(([, state]) => !STATES.includes(state)).map(([id, state]) => `${id}: "${state}" is no state`),
    ...rows
      .filter(([id, state]) => state === 'kept' && !tested.has(id))
      .map(([id]) => `${id} is "kept", but no test names it`),
    ...[...tested].filter((id) => !wanted.includes(id)).map((id) => `a test names ${id}, which is no promise`),
    ...[...tested].filter((id) => states.get(id) === 'not ours').map((id) => `a test names ${id}, which is "not ours"`),
  ];
  const withState = (state: string) => rows.filter(([, other]) => other === state).map(([id]) => id);
  return { faults, open: withState('open'), kept: withState('kept') };
}

/** Id and state of each row of a table whose first cell is an id. */
function rowsOf(document: string): [id: string, state: string][] {
  return document.split('\n').flatMap((line): [string, string][] => {
    const cells = line.split('|').map((cell) => cell.trim());
    const [, id = '', , , state = ''] = cells;
    return /^[A-Z]-\d+$/.test(id) ? [[id, state.replaceAll('`', '')]] : [];
  });
}

/** The ids between square brackets in the first string of a call, which is where test names are. */
function idsInNames(source: string): string[] {
  const names = [...source.matchAll(/\(\s*(['"`])((?:\\.|(?!\1)[^\\])*)\1/g)].map((match) => match[2] ?? '');
  return names.flatMap((name) => [...name.matchAll(/\[([A-Z]-\d+)\]/g)].map((match) => match[1] ?? ''));
}

function main(root: string): void {
  const sources = globSync('test/**/*.test.ts', { cwd: root }).map((path) => readFileSync(join(root, path), 'utf8'));
  const { faults, open, kept } = judge(readFileSync(join(root, 'docs/compatibility.md'), 'utf8'), sources);
  process.stdout.write(`promises: ${kept.length} kept, ${open.length} open: ${open.join(' ')}\n`);
  if (faults.length === 0) return;
  process.stderr.write(`docs/compatibility.md:\n${faults.map((fault) => `  ${fault}\n`).join('')}`);
  process.exitCode = 1;
}

if (import.meta.main) main(join(import.meta.dirname, '../..'));
