import type * as z from 'zod';

/** One line per fault, each beginning with the field: `spec.backends[0].url: url must be …`. */
export function explain(error: z.ZodError): string[] {
  return error.issues.flatMap((issue) => {
    if (issue.code !== 'unrecognized_keys') return [`${fieldPath(issue.path)}: ${issue.message}`];
    return issue.keys.map((key) => `${fieldPath([...issue.path, key])}: unknown field`);
  });
}

function fieldPath(path: readonly PropertyKey[]): string {
  const steps = path.map((step) => (typeof step === 'number' ? `[${step}]` : `.${String(step)}`));
  return steps.join('').replace(/^[.]/, '');
}
