import { withSettings } from '../http/headers.ts';
import type { Sessions } from './sessions.ts';

/** The head of a call to an endpoint, flat; `settings` take the place of metadata of the same name. */
export function upstreamHead(
  sessions: Sessions,
  path: string,
  metadata: string[],
  settings: readonly string[],
): string[] {
  const scheme = sessions.settings.origin.startsWith('https:') ? 'https' : 'http';
  const head = [':method', 'POST', ':scheme', scheme, ':authority', sessions.authority, ':path', path];
  head.push(...withSettings(metadata, settings));
  return head;
}
