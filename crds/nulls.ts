import * as z from 'zod';

/**
 * The value without the nulls that stand for "not set": the API server drops them before it fills in defaults.
 * What the schema leaves open keeps its nulls.
 */
export function withoutNulls(schema: z.core.$ZodType, value: unknown): unknown {
  const inner = unwrapped(schema);
  if (Array.isArray(value)) {
    return inner instanceof z.ZodArray ? value.map((item) => withoutNulls(inner.element, item)) : value;
  }
  if (typeof value !== 'object' || value === null) return value;
  const schemaOf = fieldSchemas(inner);
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, field]) => {
      const known = schemaOf(name);
      if (known === undefined) return [[name, field]];
      return field === null ? [] : [[name, withoutNulls(known, field)]];
    }),
  );
}

function fieldSchemas(schema: z.core.$ZodType): (name: string) => z.core.$ZodType | undefined {
  if (schema instanceof z.ZodObject) {
    const shape = new Map<string, z.core.$ZodType>(Object.entries(schema.shape));
    return (name) => shape.get(name);
  }
  return schema instanceof z.ZodRecord ? () => schema.valueType : () => undefined;
}

function unwrapped(schema: z.core.$ZodType): z.core.$ZodType {
  const wraps = schema instanceof z.ZodOptional || schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault;
  return wraps ? unwrapped(schema.unwrap()) : schema;
}
