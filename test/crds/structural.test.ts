import { expect, test } from 'vitest';
import * as z from 'zod';
import { mapOf, namedList, setOf } from '../../crds/list.ts';
import { rule } from '../../crds/rule.ts';
import { structural } from '../../crds/structural.ts';
import { text } from '../../crds/text.ts';

const word = text({ max: 8 });
const inSpec = (schema: z.ZodType) => z.strictObject({ spec: schema });

test.each<[string, z.ZodType, string]>([
  ['a union', z.union([z.int(), z.boolean()]), 'anyOf'],
  ['a discriminated union', z.discriminatedUnion('a', [z.strictObject({ a: z.literal('b') })]), 'oneOf'],
  ['an intersection', z.intersection(z.strictObject({}), z.strictObject({})), 'intersection'],
  ['two patterns', z.string().max(1).regex(/a/).regex(/b/), 'allOf'],
  ['flags of a pattern', z.string().max(1).regex(/a/i), 'flags'],
  [
    'a lookahead',
    z
      .string()
      .max(1)
      .regex(/a(?=b)/),
    'RE2',
  ],
  [
    'a lookbehind',
    z
      .string()
      .max(1)
      .regex(/(?<!a)b/),
    'RE2',
  ],
  ['a back reference', z.string().max(1).regex(/(a)\1/), 'RE2'],
  ['\\s, which is wider in JavaScript', z.string().max(1).regex(/\s/), 'RE2'],
  ['a bare refine', word.refine(() => true), 'use rule'],
  ['a refine on an object', z.strictObject({ a: word }).refine(() => true), 'use rule'],
  ['a superRefine', word.superRefine(() => undefined), 'use rule'],
  ['a trim', word.trim(), 'changes no value'],
  ['a transform', word.transform(Number), 'no structural schema'],
  ['a catch', word.catch(''), 'catch'],
  ['a readonly', word.readonly(), 'readonly'],
  ['a null', word.nullable(), 'nullable'],
  ['a recursive object', recursive(), 'spec'],
  ['anything', z.unknown(), 'no type'],
  ['any', z.any(), 'any'],
  ['a tuple', z.tuple([word]), 'tuple'],
  ['a map with fixed keys', z.record(z.enum(['a']), word), 'fixed keys'],
  ['a format the API server does not know', z.email().max(8), 'spec'],
  ['an open object that does not say so', z.looseObject({ a: word }), 'preserve-unknown-fields'],
  ['a string without an end', z.string(), 'maxLength'],
  ['a list without an end', z.array(word).meta({ 'x-kubernetes-list-type': 'atomic' }), 'maxItems'],
  ['a list without a type', z.array(word).max(1), 'list-type'],
  ['a map without an end', z.record(z.string(), word), 'maxProperties'],
])('%s is refused, and the message names the field', (_, schema, words) => {
  expect(() => structural(inSpec(schema))).toThrow(/^spec/);
  expect(() => structural(inSpec(schema))).toThrow(words);
});

test('a fault deep inside is named by its path', () => {
  const schema = namedList(z.strictObject({ name: word, bad: z.string() }), { key: 'name', max: 1 });
  expect(() => structural(inSpec(schema))).toThrow('spec[].bad: no maxLength');
});

test('rules, keywords, defaults and descriptions come through', () => {
  const schema = z.strictObject({
    spec: rule(
      z.strictObject({
        names: setOf(word, { min: 1, max: 2 }).optional().describe('Names.'),
        labels: mapOf(word, { max: 3 }).optional(),
        part: z.strictObject({ size: z.int().min(1).default(5) }).prefault({}),
        open: z.looseObject({}).meta({ 'x-kubernetes-preserve-unknown-fields': true }).optional(),
        port: z.union([z.int().min(1), word]).meta({ 'x-kubernetes-int-or-string': true }),
      }),
      { cel: 'has(self.names)', message: 'names must be set', check: ({ names }) => names !== undefined },
    ),
  });
  expect(structural(schema)).toEqual({
    type: 'object',
    required: ['spec'],
    properties: {
      spec: {
        type: 'object',
        required: ['port'],
        'x-kubernetes-validations': [{ rule: 'has(self.names)', message: 'names must be set' }],
        properties: {
          names: {
            description: 'Names.',
            type: 'array',
            minItems: 1,
            maxItems: 2,
            'x-kubernetes-list-type': 'set',
            items: { type: 'string', maxLength: 8 },
          },
          labels: { type: 'object', maxProperties: 3, additionalProperties: { type: 'string', maxLength: 8 } },
          part: { type: 'object', default: {}, properties: { size: { type: 'integer', minimum: 1, default: 5 } } },
          open: { type: 'object', properties: {}, 'x-kubernetes-preserve-unknown-fields': true },
          port: { 'x-kubernetes-int-or-string': true, minimum: 1, maxLength: 8 },
        },
      },
    },
  });
});

function recursive(): z.ZodType {
  const schema: z.ZodType = z.strictObject({
    get child() {
      return schema.optional();
    },
  });
  return schema;
}
