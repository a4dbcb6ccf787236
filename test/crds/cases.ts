import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import type * as z from 'zod';
import { EmbeddingInstance } from '../../crds/embedding-instance.ts';
import { LLMPool } from '../../crds/llm-pool.ts';
import { pathOf, RESOURCES } from '../../kube/object.ts';

/** A CR as someone wrote it: one file of valid/ or invalid/. */
export interface Case {
  readonly file: string;
  readonly object: { readonly kind: string; readonly [field: string]: unknown };
  /** What the refusal must say, from the comment in the first line; empty for a valid one. */
  readonly expected: string;
}

export function readCases(folder: 'valid' | 'invalid'): Case[] {
  const path = join(import.meta.dirname, folder);
  return readdirSync(path).map((file) => {
    const text = readFileSync(join(path, file), 'utf8');
    return { file, object: parse(text), expected: /^# expect: (.+)$/m.exec(text)?.[1] ?? '' };
  });
}

export function schemaOf(kind: string): z.ZodType {
  return kind === 'LLMPool' ? LLMPool : EmbeddingInstance;
}

/** The collection a CR of this kind is created in. */
export function collectionOf(kind: string): string {
  const resource = kind === 'LLMPool' ? RESOURCES.llmPools : RESOURCES.embeddingInstances;
  return pathOf(resource, { namespace: 'default' });
}
