import type { CustomResource } from './custom-resource.ts';
import type { Translation } from './translate/translation.ts';

/** What follows from a CR that this operator's schema cannot read: nothing new, and what is published stays. */
export function unreadable({ owner, generation, problem }: CustomResource): Translation {
  const said = 'the object cannot be read';
  return {
    ...{ owner, generation, models: [], endpointCount: 0, readyEndpointCount: 0 },
    verdicts: [
      { type: 'Accepted', status: 'False', reason: 'Invalid', message: problem },
      { type: 'NamesClaimed', status: 'False', reason: 'NameConflict', message: said },
      { type: 'ResolvedRefs', status: 'False', reason: 'SecretNotFound', message: said },
      { type: 'Ready', status: 'False', reason: 'NoReadyEndpoints', message: said },
    ],
  };
}
