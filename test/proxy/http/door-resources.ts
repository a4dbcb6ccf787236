import type { Documents } from '../../../proxy/config/documents.ts';
import { createFeed } from '../../../standalone/feed.ts';
import { translateOptions } from '../../../standalone/gather.ts';
import type { Look } from '../../../standalone/look.ts';
import { shelve } from '../../../standalone/shelf.ts';
import type { Door } from './door.ts';

/** Serves the CRs of a file, as standalone does, and gives their documents. @throws Error what of them is refused. */
export async function serveResources(
  door: Door,
  yaml: string,
  env: Readonly<Record<string, string>> = {},
): Promise<Record<string, unknown>[]> {
  const texts: Record<string, unknown>[] = [];
  const refused: string[] = [];
  const taken: Pick<Documents, 'put' | 'remove' | 'fail' | 'settle'> = {
    put: (_, text) => void texts.push(JSON.parse(text) as Record<string, unknown>),
    remove: () => undefined,
    fail: (source, problem) => void refused.push(`${source}: ${problem}`),
    settle: () => undefined,
  };
  const silent = () => undefined;
  const feed = createFeed(taken as Documents, translateOptions([]), {
    ...{ debug: silent, info: silent, warn: silent, error: silent },
  });
  const look: Look = { files: new Map([['conf/a.yaml', { text: yaml }]]), unreadable: new Map() };
  feed.update(shelve(new Map(), look, env), look);
  if (refused.length > 0) throw new Error(refused.join('\n'));
  await door.put(...texts);
  return texts.filter(({ kind }) => kind !== 'Credentials');
}
