import type { Log } from '../../../program/log.ts';
import {
  createDocuments,
  type Documents,
  type DocumentsOptions,
  type OwnerInput,
} from '../../../proxy/config/documents.ts';
import { canonicalJson } from '../../../proxy/config/encode.ts';
import { type ConfigReport, type EndpointEntry, type Owner, ownerKey } from '../../../proxy/config/schema.ts';

export type Loaded = Exclude<OwnerInput, { removed: true }>;

export function pool(name: string, fields: object = {}): string {
  return canonicalJson({
    format: 1,
    kind: 'LLMPool',
    namespace: 'ml',
    name,
    models: [name],
    firstModel: name,
    backends: [{ name: 'a', url: 'https://api.example.com/v1' }],
    ...fields,
  });
}

export function ownerOf(name: string): Owner {
  return { kind: 'LLMPool', namespace: 'ml', name };
}

/** A pool whose one backend sends a key from a Secret. */
export function keyedPool(name: string, fields: object = {}): string {
  const headers = [{ name: 'authorization', prefix: 'Bearer ', valueFrom: { secret: 'provider', key: 'api-key' } }];
  return pool(name, { backends: [{ name: 'a', url: 'https://api.example.com/v1', headers }], ...fields });
}

export function credentials(name: string, id: string, value: string): string {
  const values = { 'provider/api-key': value };
  return canonicalJson({ format: 1, kind: 'Credentials', of: ownerOf(name), id, values });
}

export function endpoint(address: string, fields: Partial<EndpointEntry> = {}): EndpointEntry {
  return { backend: 'a', address, port: 8000, ready: true, ...fields };
}

export function endpoints(name: string, piece: number, entries: readonly EndpointEntry[]): string {
  return canonicalJson({ format: 1, kind: 'Endpoints', of: ownerOf(name), piece, endpoints: entries });
}

/** Log lines as they came. */
export interface Heard {
  readonly log: Log;
  readonly lines: { readonly level: string; readonly fields: Record<string, unknown>; readonly message: string }[];
}

export function hearLog(): Heard {
  const lines: Heard['lines'] = [];
  const at = (level: string) => (fields: object, message: string) => {
    lines.push({ level, fields: { ...fields }, message });
  };
  return { lines, log: { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') } };
}

/** Documents with all that came out of them: what is served of each owner, each batch, each report. */
export interface Bench {
  readonly documents: Documents;
  readonly served: Map<string, Loaded>;
  readonly batches: OwnerInput[][];
  readonly applied: OwnerInput[];
  readonly reports: ConfigReport[];
  readonly heard: Heard;
  /** Resolves when all that was put is served. */
  readonly turn: () => Promise<void>;
}

export function openBench(options: Partial<DocumentsOptions> = {}): Bench {
  const served = new Map<string, Loaded>();
  const batches: OwnerInput[][] = [];
  const applied: OwnerInput[] = [];
  const reports: ConfigReport[] = [];
  const heard = hearLog();
  const documents = createDocuments({
    log: heard.log,
    ...options,
    apply: (input) => {
      options.apply?.(input);
      applied.push(input);
      const key = ownerKey(input.owner);
      if ('removed' in input) served.delete(key);
      else served.set(key, input);
    },
    changed: (changes) => {
      batches.push([...changes]);
      options.changed?.(changes);
    },
  });
  documents.watch((report) => reports.push(report));
  // Two: one that was asked for before, and one that it asked for.
  const turn = async (): Promise<void> => {
    for (let n = 0; n < 2; n += 1) await new Promise((resolve) => setImmediate(resolve));
  };
  return { documents, served, batches, applied, reports, heard, turn };
}
