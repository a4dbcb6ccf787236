import { type Document, isMap, isScalar, isSeq, Scalar } from 'yaml';
import { type Env, ExpandError, expand, isExpandable } from './expand.ts';

export interface Expansion {
  /** The document's value with every variable in it. */
  readonly value: unknown;
  /** `spec.backends[0].url: the variable KEY is not set…`; such a value stays as it stands. */
  readonly faults: readonly string[];
  /** A cluster would read some value otherwise. */
  readonly hasVariables: boolean;
}

interface Walk {
  readonly env: Env;
  readonly schema: Document['schema'];
  readonly faults: string[];
  hasVariables: boolean;
}

/**
 * Expands the values of a parsed document, in place. One that stands unquoted is typed again: `weight: ${W}` is a
 * number. Those of a Secret stay text, as a key that is all digits must.
 */
export function expandDocument(document: Document, env: Env): Expansion {
  const walk: Walk = { env, schema: document.schema, faults: [], hasVariables: false };
  expandNode(walk, document.contents, '', document.get('kind') === 'Secret');
  return { value: document.toJS(), faults: walk.faults, hasVariables: walk.hasVariables };
}

function expandNode(walk: Walk, node: unknown, path: string, isText: boolean): void {
  if (isMap(node)) {
    for (const { key, value } of node.items) {
      const name = String(isScalar(key) ? key.value : key);
      expandNode(walk, value, path === '' ? name : `${path}.${name}`, isText);
    }
  } else if (isSeq(node)) {
    for (const [index, item] of node.items.entries()) expandNode(walk, item, `${path}[${index}]`, isText);
  } else if (isScalar(node) && typeof node.value === 'string' && isExpandable(node.value)) {
    walk.hasVariables = true;
    expandScalar(walk, node, node.value, path, isText);
  }
}

function expandScalar(walk: Walk, node: Scalar, text: string, path: string, isText: boolean): void {
  try {
    const expanded = expand(text, walk.env);
    const isTyped = node.type === Scalar.PLAIN && node.tag === undefined && !isText;
    node.value = isTyped ? typed(expanded, walk.schema) : expanded;
  } catch (error) {
    if (!(error instanceof ExpandError)) throw error;
    walk.faults.push(`${path}: ${error.message}`);
  }
}

/** What YAML makes of a plain scalar with this text. */
function typed(text: string, schema: Document['schema']): unknown {
  const scalarTags = schema.tags.filter((tag) => tag.collection === undefined);
  const tag = scalarTags.find(({ default: isImplicit, test }) => isImplicit === true && test?.test(text));
  const value: unknown = tag?.resolve?.(text, () => undefined, {}) ?? text;
  return isScalar(value) ? value.value : value;
}
