import { type Document, LineCounter, parseAllDocuments } from 'yaml';
import { EmbeddingInstance } from '../crds/embedding-instance.ts';
import { explain } from '../crds/explain.ts';
import { LLMPool } from '../crds/llm-pool.ts';
import type { SecretFacts } from '../operator/translate/resources.ts';
import { type Env, isExpandable } from './expand.ts';
import { expandDocument } from './expand-document.ts';
import { secretFrom } from './secret.ts';

/** What one document of a file declares. */
export type Item =
  | { readonly kind: 'LLMPool'; readonly value: LLMPool }
  | { readonly kind: 'EmbeddingInstance'; readonly value: EmbeddingInstance }
  | { readonly kind: 'Secret'; readonly value: SecretFacts };

/** An object that a file names; without `item` where it cannot be used as it stands, and `faults` says why. */
export interface Declared {
  /** `LLMPool/ml/chat`. */
  readonly key: string;
  readonly item?: Item;
  readonly faults: readonly string[];
}

export interface FileContent {
  readonly declared: readonly Declared[];
  /** What is wrong with the file itself, or with documents that name no object. */
  readonly problems: readonly string[];
  /** Objects that mean something only in a cluster, as `Service/ml/vllm`. */
  readonly skipped: readonly string[];
  readonly hasVariables: boolean;
}

/** Reads every document of a file. Never throws. */
export function readYaml(text: string, env: Env): FileContent {
  const broken = (problem: string): FileContent => ({
    declared: [],
    problems: [problem],
    skipped: [],
    hasVariables: false,
  });
  if (text.trim() === '') return broken('is empty');
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, { lineCounter: lines, prettyErrors: false });
  const parsed = Array.isArray(documents) ? documents : [];
  const error = parsed.flatMap((document) => document.errors)[0];
  if (error !== undefined) return broken(syntaxProblem(text, lines.linePos(error.pos[0]).line, error.message));
  try {
    return joined(parsed.map((document) => readDocument(document, env)));
  } catch (error) {
    return broken(`cannot be parsed: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function syntaxProblem(text: string, line: number, message: string): string {
  const isVariable = isExpandable(text.split('\n')[line - 1] ?? '');
  const hint = isVariable ? '; a variable inside {} or [] must stand in quotes' : '';
  return `cannot be parsed: line ${line}: ${message}${hint}`;
}

function readDocument(document: Document, env: Env): FileContent {
  const { value, faults, hasVariables } = expandDocument(document, env);
  return { ...readObject(value, faults), hasVariables };
}

interface Head {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

function readObject(value: unknown, faults: readonly string[]): Omit<FileContent, 'hasVariables'> {
  if (value === null) return { declared: [], problems: [], skipped: [] };
  const items = itemsOfList(value);
  if (items !== undefined) return joined(items.map((item) => readObject(item, faults)));
  const head = headOf(value);
  if (head === undefined) {
    const problem = 'a document is not an object with kind and metadata.name';
    return { declared: [], problems: [problem, ...faults], skipped: [] };
  }
  const key = `${head.kind}/${head.namespace}/${head.name}`;
  const reader = READERS.get(head.kind);
  if (reader === undefined) return { declared: [], problems: [], skipped: [key] };
  const declared = faults.length > 0 ? { faults } : reader(value);
  return { declared: [{ key, ...declared }], problems: [], skipped: [] };
}

function joined<T extends Omit<FileContent, 'hasVariables'>>(parts: readonly T[]): FileContent {
  return {
    declared: parts.flatMap(({ declared }) => declared),
    problems: parts.flatMap(({ problems }) => problems),
    skipped: parts.flatMap(({ skipped }) => skipped),
    hasVariables: parts.some((part) => 'hasVariables' in part && part.hasVariables === true),
  };
}

/** The items of a `kind: List`, as `kubectl get -o yaml` writes it. */
function itemsOfList(value: unknown): readonly unknown[] | undefined {
  const { kind, items } = value as { kind?: unknown; items?: unknown };
  return kind === 'List' && Array.isArray(items) ? items : undefined;
}

function headOf(value: unknown): Head | undefined {
  if (typeof value !== 'object') return undefined;
  const { kind, metadata } = value as { kind?: unknown; metadata?: { name?: unknown; namespace?: unknown } };
  const { name, namespace = 'default' } = metadata ?? {};
  if (typeof kind !== 'string' || typeof name !== 'string' || typeof namespace !== 'string') return undefined;
  return { kind, namespace, name };
}

type Reading = Pick<Declared, 'item' | 'faults'>;

function readPool(value: unknown): Reading {
  const result = LLMPool.safeParse(value);
  return result.success
    ? { item: { kind: 'LLMPool', value: result.data }, faults: [] }
    : { faults: explain(result.error) };
}

function readInstance(value: unknown): Reading {
  const result = EmbeddingInstance.safeParse(value);
  return result.success
    ? { item: { kind: 'EmbeddingInstance', value: result.data }, faults: [] }
    : { faults: explain(result.error) };
}

function readSecret(value: unknown): Reading {
  const result = secretFrom(value);
  return 'facts' in result ? { item: { kind: 'Secret', value: result.facts }, faults: [] } : { faults: result.faults };
}

const READERS: ReadonlyMap<string, (value: unknown) => Reading> = new Map([
  ['LLMPool', readPool],
  ['EmbeddingInstance', readInstance],
  ['Secret', readSecret],
]);
