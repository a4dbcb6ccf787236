import { ProxyError } from '../errors.ts';
import type { Path } from './path.ts';
import { modelOfQuery } from './query.ts';

/**
 * The model that a request names without a body: `?model=` for any path (stored completions, responses, files, as
 * OpenAI and others have them), the id for `DELETE /v1/models/{id}`.
 * @throws ProxyError method_not_allowed with Allow, unknown_path where no model says whose path it is,
 * duplicate_model and missing_model for what is no name.
 */
export function modelInUrl(method: string, path: Extract<Path, { kind: 'openai' | 'models' }>): string {
  if (path.kind === 'models') {
    if (method === 'DELETE' && path.id !== undefined) return path.id;
    throw notAllowed(method, path.id === undefined ? 'GET' : 'GET, DELETE');
  }
  const takesBody = WITH_BODY.has(path.rest);
  if (method !== 'GET' && method !== 'DELETE') throw notAllowed(method, takesBody ? 'POST' : 'GET, POST, DELETE');
  const model = modelOfQuery(path.query);
  if (model !== undefined) return model;
  if (takesBody) throw notAllowed(method, 'POST');
  const message = `${method} has no body to name its model: add ?model=NAME to say whose pool is meant`;
  throw new ProxyError('unknown_path', message, { param: 'model' });
}

/** Below /v1, what OpenAI and its like serve by POST. */
const WITH_BODY: ReadonlySet<string> = new Set([
  ...['/chat/completions', '/completions', '/embeddings', '/responses', '/rerank', '/moderations'],
  ...['/audio/speech', '/audio/transcriptions', '/audio/translations'],
  ...['/images/generations', '/images/edits', '/images/variations'],
]);

/** A 405 that names the methods there are, separated by commas. */
export function notAllowed(method: string, allow: string): ProxyError {
  return new ProxyError('method_not_allowed', `${method} is not allowed here; use ${allow}`, { allow });
}
