import type * as z from 'zod';
import { DURATION_PATTERN } from './duration.ts';
import { GROUP, VERSION } from './resource.ts';
import { type Node, structural } from './structural.ts';

interface Documented {
  readonly kind: string;
  readonly shortName: string;
  readonly schema: z.ZodType;
}

/** docs/api.md: a table of every field of every kind. */
export function reference(kinds: readonly Documented[]): string {
  const intro = [
    '# The API',
    '',
    `Every field of ${GROUP}/${VERSION}. Written by \`node crds/generate.ts\` from the schemas in crds/.`,
    'A field in bold is required. Durations are Go-style: `250ms`, `1m30s`; 0s, or 1ms … 24h.',
    '',
  ];
  return `${[...intro, ...kinds.flatMap(section)].join('\n')}`;
}

function section({ kind, shortName, schema }: Documented): string[] {
  const root = structural(schema);
  const { spec, status } = fields(root);
  return [
    `## ${kind}`,
    '',
    `${text(root)} \`kubectl get ${shortName}\`.`,
    '',
    ...rules(root),
    ...table('spec', spec),
    ...table('status', status),
  ];
}

function table(name: string, node: Node | undefined): string[] {
  if (node === undefined) return [];
  return [
    ...[`### ${name}`, '', text(node), ''],
    ...rules(node),
    '| field | type | default | what |',
    '| --- | --- | --- | --- |',
    ...rows(node, ''),
    '',
  ];
}

function rules(node: Node): string[] {
  const lines = validations(node).map((message) => `- ${message}`);
  return lines.length > 0 ? [...lines, ''] : [];
}

function rows(node: Node, path: string): string[] {
  const required = node['required'];
  return Object.entries(fields(node)).flatMap(([name, field]) => {
    const at = path === '' ? name : `${path}.${name}`;
    const isRequired = Array.isArray(required) && required.includes(name);
    return [row(at, field, isRequired), ...rows(field, at), ...inner(field, at)];
  });
}

function inner(field: Node, at: string): string[] {
  return isNode(field['items']) ? rows(field['items'], `${at}[]`) : [];
}

function row(at: string, field: Node, required: boolean): string {
  const name = required ? `**\`${at}\`**` : `\`${at}\``;
  // An object's default is that of its fields, which have rows of their own.
  const isObject = typeof field['default'] === 'object';
  const fallback = field['default'] === undefined || isObject ? '' : `\`${JSON.stringify(field['default'])}\``;
  const item = isNode(field['items']) ? validations(field['items']) : [];
  const what = [text(field), ...validations(field), ...item].filter((part) => part !== '').join(' ');
  return `| ${[name, typeOf(field), fallback, what].map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
}

function typeOf(field: Node): string {
  if (field['x-kubernetes-int-or-string'] === true) return `integer${range(field)} or string`;
  if (Array.isArray(field['enum'])) return field['enum'].map((value) => `\`${value}\``).join(', ');
  if (isNode(field['items'])) return `list of ${typeOf(field['items'])}, ${bounds(field, 'minItems', 'maxItems')}`;
  if (isNode(field['additionalProperties'])) {
    return `map of ${typeOf(field['additionalProperties'])}, ${bounds(field, 'minProperties', 'maxProperties')}`;
  }
  return isDuration(field) ? 'duration' : `${field['type']}${range(field)}`;
}

function range(field: Node): string {
  const { minimum, maximum } = field;
  if (maximum !== undefined) return ` ${minimum} … ${maximum}`;
  return minimum === undefined ? '' : ` ≥ ${minimum}`;
}

function bounds(field: Node, min: string, max: string): string {
  return field[min] === undefined ? `at most ${field[max]}` : `${field[min]} … ${field[max]}`;
}

function validations(node: Node): string[] {
  const declared = node['x-kubernetes-validations'];
  if (!Array.isArray(declared) || isDuration(node)) return [];
  return declared.map(({ message }) => `Rule: ${message}.`);
}

function isDuration(node: Node): boolean {
  return node['pattern'] === DURATION_PATTERN;
}

function fields(node: Node): Readonly<Record<string, Node>> {
  const properties = node['properties'];
  return isNode(properties) ? (properties as Record<string, Node>) : {};
}

function text(node: Node): string {
  return typeof node['description'] === 'string' ? node['description'] : '';
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
