import { dirname, resolve } from 'node:path';
import type { Env } from './expand.ts';
import type { FileText, Look } from './look.ts';
import { type FileContent, type Item, readYaml } from './yaml-file.ts';

export interface FileState {
  readonly text: string | undefined;
  /** What the file declares, by `LLMPool/ml/chat`: as it stands, or as it was when it could last be used. */
  readonly items: ReadonlyMap<string, Item>;
  /** Why an object is not taken as it stands now, by the same key. */
  readonly refused: ReadonlyMap<string, readonly string[]>;
  readonly problems: readonly string[];
  readonly skipped: readonly string[];
  readonly hasVariables: boolean;
}

/** Everything that is known of every file, by path. */
export type Shelf = ReadonlyMap<string, FileState>;

/**
 * What is known after a look. A file or an object that cannot be used keeps what it last was; a file that was not found
 * is gone, unless its folder could not be read. A file whose text is the same keeps its very state.
 */
export function shelve(before: Shelf, look: Look, env: Env): Shelf {
  const now = new Map<string, FileState>();
  for (const [path, state] of before) if (isUnknown(path, look)) now.set(path, state);
  for (const [path, file] of look.files) now.set(path, nextState(before.get(path), file, env));
  return now;
}

/** Whether nothing can be said of a file, its folder being unreadable. */
export function isUnknown(path: string, look: Look): boolean {
  return [...look.unreadable.keys()].some((dir) => resolve(dirname(path)) === resolve(dir));
}

function nextState(before: FileState | undefined, file: FileText, env: Env): FileState {
  if ('text' in file)
    return before?.text === file.text ? before : { ...merged(before, readYaml(file.text, env)), text: file.text };
  if (before?.text === undefined && before?.problems[0] === file.problem) return before;
  return { ...EMPTY, ...before, text: undefined, problems: [file.problem] };
}

const EMPTY: FileState = {
  text: undefined,
  items: new Map(),
  refused: new Map(),
  problems: [],
  skipped: [],
  hasVariables: false,
};

function merged(before: FileState | undefined, content: FileContent): Omit<FileState, 'text'> {
  const items = new Map<string, Item>();
  const refused = new Map<string, readonly string[]>();
  for (const { key, item, faults } of content.declared) {
    const usable = item ?? before?.items.get(key);
    if (usable !== undefined && !items.has(key)) items.set(key, usable);
    if (faults.length > 0) refused.set(key, faults);
    else if (items.get(key) !== item) refused.set(key, ['is declared twice in this file; the first counts']);
  }
  // Whom a broken document was about is not known, so nobody is taken as gone.
  if (content.problems.length > 0) {
    for (const [key, item] of before?.items ?? []) if (!items.has(key)) items.set(key, item);
  }
  const { problems, skipped, hasVariables } = content;
  return { items, refused, problems, skipped, hasVariables };
}
