import * as z from 'zod';
import { isDeclared } from './rule.ts';

/** A node of an OpenAPI v3 schema. */
export type Node = Readonly<Record<string, unknown>>;

const KINDS = new Set(
  'string number int boolean object array record enum literal union optional default prefault unknown'.split(' '),
);
const NOT_STRUCTURAL =
  '$ref anyOf oneOf allOf not readOnly nullable contentEncoding propertyNames const patternProperties'.split(' ');
const FORMATS = new Set(['date-time']);

/**
 * The structural schema of a CR, as a CustomResourceDefinition holds it. Throws an Error that names the field where the
 * zod schema says something that the API server would refuse, drop or understand otherwise: nothing is degraded.
 */
export function structural(schema: z.ZodType): Node {
  // A reader's way in only drops nulls.
  const written = schema instanceof z.ZodPreprocess ? schema.out : schema;
  const emitted = z.toJSONSchema(written, {
    target: 'openapi-3.0',
    io: 'input',
    reused: 'inline',
    override: ({ zodSchema, path }) =>
      inspect(zodSchema, path.filter((step) => step !== 'properties').join('.') || 'root'),
  });
  return visit(emitted, '');
}

/** Refuses what leaves no trace in the emitted schema. */
function inspect(schema: z.core.$ZodTypes, at: string): void {
  const { def } = schema._zod;
  if (!KINDS.has(def.type)) throw new Error(`${at}: ${def.type} has no structural schema`);
  if (def.type === 'record' && def.keyType._zod.def.type !== 'string') {
    throw new Error(`${at}: a map with fixed keys is an object`);
  }
  const checks = [...(def.checks ?? []), ...('check' in def ? [schema as z.core.$ZodCheck] : [])];
  for (const check of checks) inspectCheck(check, at);
}

function inspectCheck(check: z.core.$ZodCheck, at: string): void {
  const { def } = check._zod;
  if (def.check === 'custom' && !isDeclared(check)) throw new Error(`${at}: refine vanishes: use rule() or keyword()`);
  if (def.check === 'overwrite') throw new Error(`${at}: the API server changes no value: no trim or lower case`);
  const pattern = 'pattern' in def ? def.pattern : undefined;
  if (pattern instanceof RegExp && pattern.flags !== '') throw new Error(`${at}: flags of ${pattern} are lost`);
}

function visit(emitted: Node, at: string): Node {
  const node = emitted['x-kubernetes-int-or-string'] === true ? merged(emitted) : tidied(emitted);
  refuse(node, at || 'root');
  const properties = children(node['properties'], (name) => (at === '' ? name : `${at}.${name}`));
  return {
    ...node,
    ...(properties !== undefined && { properties }),
    ...child(node, 'items', `${at}[]`),
    ...child(node, 'additionalProperties', `${at}{}`),
  };
}

function children(properties: unknown, pathOf: (name: string) => string): Node | undefined {
  if (!isNode(properties)) return undefined;
  return Object.fromEntries(
    Object.entries(properties).map(([name, value]) => [name, rootField(name, pathOf(name), value)]),
  );
}

/** What stands at the root is the API server's own: it allows no more than a type there. */
function rootField(name: string, at: string, value: unknown): Node {
  if (at === name && (name === 'apiVersion' || name === 'kind')) return { type: 'string' };
  if (at === name && name === 'metadata') return { type: 'object' };
  return visit(nodeOf(value, at), at);
}

function child(node: Node, key: string, at: string): Node {
  return node[key] === undefined ? {} : { [key]: visit(nodeOf(node[key], at), at) };
}

function refuse(node: Node, at: string): void {
  for (const key of NOT_STRUCTURAL) if (key in node) throw new Error(`${at}: ${key} is not structural`);
  const { type, pattern, format } = node;
  if (type === undefined && node['x-kubernetes-int-or-string'] !== true) throw new Error(`${at}: no type`);
  if (typeof pattern === 'string' && /\(\?[=!<]|\\[1-9kbBsS]/.test(pattern))
    throw new Error(`${at}: ${pattern} is not RE2`);
  if (format !== undefined && !FORMATS.has(String(format)))
    throw new Error(`${at}: format ${format} means nothing to the API server`);
  if (node['properties'] !== undefined && node['additionalProperties'] !== undefined) {
    throw new Error(`${at}: an open object needs x-kubernetes-preserve-unknown-fields`);
  }
  const missing = unbounded(node);
  if (missing !== undefined) throw new Error(`${at}: no ${missing}`);
}

/** CEL is affordable, and an object small, only where everything has an end. */
function unbounded(node: Node): string | undefined {
  const { type } = node;
  if (type === 'array' && node['maxItems'] === undefined) return 'maxItems';
  if (type === 'array' && node['x-kubernetes-list-type'] === undefined) return 'x-kubernetes-list-type';
  if (type === 'object' && node['additionalProperties'] !== undefined && node['maxProperties'] === undefined)
    return 'maxProperties';
  const ended = ['maxLength', 'enum', 'format'].some((key) => node[key] !== undefined);
  return type === 'string' && !ended ? 'maxLength' : undefined;
}

function tidied(emitted: Node): Node {
  const open = emitted['x-kubernetes-preserve-unknown-fields'] === true;
  return Object.fromEntries(
    Object.entries(emitted).filter(([key, value]) => {
      // The API server prunes unknown fields, and refuses them under strict validation.
      if (key === 'additionalProperties') return value !== false && !open;
      if (key === 'minimum') return value !== Number.MIN_SAFE_INTEGER;
      if (key === 'maximum') return value !== Number.MAX_SAFE_INTEGER;
      return true;
    }),
  );
}

/** An int-or-string has no type; the bounds of both stand side by side, each meaning only its own. */
function merged({ anyOf, ...rest }: Node): Node {
  const arms = z.array(z.record(z.string(), z.unknown())).length(2).parse(anyOf);
  const bounds = Object.assign({}, ...arms.map((arm) => tidied(arm)));
  const { type, ...keywords } = bounds;
  return { ...rest, ...keywords };
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function nodeOf(value: unknown, at: string): Node {
  if (!isNode(value)) throw new Error(`${at}: not a schema`);
  return value;
}
