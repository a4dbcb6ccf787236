import * as z from 'zod';

const declared = new WeakSet<object>();

export interface Rule<T> {
  /** What the API server evaluates, on `self`. */
  readonly cel: string;
  readonly message: string;
  /** The same in TypeScript. */
  readonly check: (value: T) => boolean;
}

/** Adds a rule to both sides at once: CEL for the API server, a check for zod. The only way to refine in crds/. */
export function rule<S extends z.ZodType>(schema: S, { cel, message, check }: Rule<z.output<S>>): S {
  const earlier = z.array(z.unknown()).parse(schema.meta()?.['x-kubernetes-validations'] ?? []);
  const checked = schema.check(declare(z.refine(check, message)));
  return checked.meta({ 'x-kubernetes-validations': [...earlier, { rule: cel, message }] });
}

/** What is wrong with a value, and where under it. */
export interface Fault {
  readonly path: readonly (string | number)[];
  readonly message: string;
}

/** Adds OpenAPI keywords that zod does not know, or counts otherwise, with a check that means the same. */
export function keyword<S extends z.ZodType>(
  schema: S,
  keywords: Readonly<Record<string, unknown>>,
  faults: (value: z.output<S>) => readonly Fault[],
): S {
  const check = z.superRefine<z.output<S>>((value, context) => {
    for (const { path, message } of faults(value)) {
      context.addIssue({ code: 'custom', path: [...path], message });
    }
  });
  return schema.check(declare(check)).meta(keywords);
}

/** Whether a check has its twin in the schema the API server gets. */
export function isDeclared(check: object): boolean {
  return declared.has(check);
}

function declare<C extends object>(check: C): C {
  declared.add(check);
  return check;
}
