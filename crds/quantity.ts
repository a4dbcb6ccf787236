import * as z from 'zod';
import { type TextOptions, text } from './text.ts';

const SUFFIX = '([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]{1,3})?';

/** A number, or a string with its own bounds; the API server knows this mix by name. */
function intOrString(integer: z.ZodInt, string: TextOptions): z.ZodUnion<readonly [z.ZodInt, z.ZodString]> {
  return z.union([integer, text(string)]).meta({ 'x-kubernetes-int-or-string': true });
}

/** A Kubernetes quantity, such as 500m, 2Gi or 4. */
export const quantity = intOrString(z.int().min(0), {
  min: 1,
  max: 32,
  pattern: `^([0-9]+([.][0-9]*)?|[.][0-9]+)${SUFFIX}$`,
  message: 'must be a quantity like 500m, 2Gi or 4',
});

/** A quantity above zero. */
export const size = intOrString(z.int().min(1), {
  min: 1,
  max: 32,
  pattern: `^([0-9]*[1-9][0-9]*([.][0-9]*)?|[0-9]*[.][0-9]*[1-9][0-9]*)${SUFFIX}$`,
  message: 'must be a quantity above zero, like 10Gi',
});

/** A port by its number or its name. A name holds a letter, or it would be a number in quotes. */
export function portOrName(maxName: number): z.ZodUnion<readonly [z.ZodInt, z.ZodString]> {
  return intOrString(z.int().min(1).max(65_535), {
    min: 1,
    max: maxName,
    pattern: '^[a-z0-9-]*[a-z][a-z0-9-]*$',
    message: "must be a port's number, or its name",
  });
}

/** A port by its number. */
export const portNumber = z.int().min(1).max(65_535);

/** A whole number; where nothing else is said, 0 … 1,000,000. */
export function count(min = 0, max = 1_000_000): z.ZodInt {
  return z.int().min(min).max(max);
}
