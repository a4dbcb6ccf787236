import type * as z from 'zod';

/** One line per fault, each beginning with the field: `spec.backends[0].url: url must be …`. */
export function explain(error: z.ZodError): string[] {
  return error.issues.flatMap((issue) => {
    if (issue.code !== 'unrecognized_keys') return [`${fieldPath(issue.path)}: ${message(issue)}`];
    return issue.keys.map((key) => `${fieldPath([...issue.path, key])}: unknown field`);
  });
}

function message(issue: z.core.$ZodIssue): string {
  const absent = issue.code === 'invalid_type' && issue.message.endsWith('received undefined');
  return absent ? `required, of type ${issue.expected}` : issue.message;
}

function fieldPath(path: readonly PropertyKey[]): string {
  const steps = path.map((step) => (typeof step === 'number' ? `[${step}]` : `.${String(step)}`));
  return steps.join('').replace(/^[.]/, '');
}
