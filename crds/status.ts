import * as z from 'zod';
import { namedList, setOf } from './list.ts';
import { modelName, text } from './text.ts';

export const Condition = z.strictObject({
  type: text({ min: 1, max: 316 }).describe('Accepted, NamesClaimed, ResolvedRefs, Programmed or Ready.'),
  status: z.enum(['True', 'False', 'Unknown']).describe('Whether it holds.'),
  observedGeneration: z.int().min(0).optional().describe('The generation this was said about.'),
  lastTransitionTime: z.string().meta({ format: 'date-time' }).describe('When the status last changed.'),
  reason: text({ min: 1, max: 1_024 }).describe('Why, in one word for programs.'),
  message: text({ max: 32_768 }).describe('Why, for people.'),
});
export type Condition = z.output<typeof Condition>;

/** What the status of every kind holds. */
export const commonStatus = {
  observedGeneration: z.int().min(0).optional().describe('The generation all of this was said about.'),
  conditions: namedList(Condition, { key: 'type', max: 16 })
    .optional()
    .describe('Accepted, NamesClaimed, ResolvedRefs, Programmed, Ready.'),
  endpoints: z.int().min(0).optional().describe('Endpoints in all.'),
  readyEndpoints: z.int().min(0).optional().describe('Endpoints that can be called.'),
  ready: text({ max: 64 }).optional().describe('Ready endpoints of all endpoints: 5/6.'),
  revision: text({ max: 64 }).optional().describe("sha256 of the published configuration's bytes, in lower-case hex."),
};

export const statusModels = setOf(modelName, { max: 64 });
