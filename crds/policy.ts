import * as z from 'zod';
import { Auth, SecretRef } from './backend.ts';
import { duration } from './duration.ts';
import { count } from './quantity.ts';
import { headerName } from './text.ts';

/** What pools and instances say alike about how calls are treated. */

export const maxConcurrentPerEndpoint = count()
  .optional()
  .describe('Calls in flight at once, per endpoint. Absent: unlimited.');

export const queue = {
  maxDepth: count().default(1_000).describe('Calls that may wait for a free slot; one more is refused.'),
  timeout: duration.default('60s').describe('How long one may wait. 0s: none.'),
};

export const Retry = z
  .strictObject({
    attempts: count(1, 10).default(3).describe('Tries in all, the first included.'),
    backoff: duration
      .default('25ms')
      .describe('Upper bound of the first pause before an endpoint is tried again; it doubles.'),
    budgetPercent: count().default(20).describe('Retries, in percent of the requests of the last 10 s.'),
  })
  .prefault({})
  .describe('How a call that failed before its first answer byte is tried again.');

export const healthCheck = (interval: string) => ({
  enabled: z.boolean().default(true).describe('Whether endpoints are asked how they are.'),
  interval: duration.default(interval).describe('Time between two checks of an endpoint. 0s: none is made.'),
  timeout: duration.default('5s').describe('How long an answer may take.'),
  unhealthyThreshold: count().default(2).describe('Failures in a row that take an endpoint out; 0 counts as 1.'),
  healthyThreshold: count().default(1).describe('Successes in a row that bring it back; 0 counts as 1.'),
});

export const ejection = (rateLimited: string) =>
  z
    .strictObject({
      consecutiveFailures: count().default(5).describe('Failures in a row that rest an endpoint. 0: never.'),
      failure: duration.default('15s').describe('How long it rests; doubled each time.'),
      rateLimited: duration.default(rateLimited).describe('How long it rests after a 429 or 529 that does not say.'),
      maxCooldown: duration.default('300s').describe('The longest rest.'),
    })
    .prefault({})
    .describe('How endpoints that fail real calls rest.');

const limit = z.strictObject({
  requestsPerMinute: count().optional().describe('Requests a minute. Absent: unlimited.'),
  tokensPerMinute: count().optional().describe('Tokens a minute, prompt and answer. Absent: unlimited.'),
});
const Limits = z.strictObject({
  pool: limit.optional().describe('For all clients together.'),
  perClient: limit.optional().describe('For each client key.'),
});
export type Limits = z.output<typeof Limits>;
export const limits = Limits.optional().describe('Rate limits. Absent: none.');

export const access = z
  .strictObject({
    secretRef: SecretRef.describe(
      'A Secret whose values are client keys, one each; the key of each names the client. It must have the label sluice.dev/credential: "true". While it is missing nobody is let in.',
    ),
  })
  .optional()
  .describe('Who may call. Absent: everyone.');

export const Affinity = z.strictObject({
  header: headerName.default('x-session-id').describe('The request header that names a conversation.'),
});

export const auth = Auth.optional().describe(
  "The credential sent to the server. Absent: none. The client's own is never forwarded.",
);
