import { ProxyError } from '../errors.ts';

/** The client's query and a backend's own, `?` included. A parameter that the backend sets is not the client's to set. */
export function joinQuery(fromClient: string, ofBackend: string): string {
  if (ofBackend === '') return fromClient === '' ? '' : `?${fromClient}`;
  if (fromClient === '') return `?${ofBackend}`;
  const taken = new Set(new URLSearchParams(ofBackend).keys());
  const kept = fromClient.split('&').filter((pair) => !taken.has(nameOf(pair)));
  return `?${[...kept, ofBackend].join('&')}`;
}

/**
 * The value of `model` in a query; undefined where it is not there.
 * @throws ProxyError duplicate_model, missing_model for an empty one.
 */
export function modelOfQuery(query: string): string | undefined {
  const [model, second] = new URLSearchParams(query).getAll('model');
  if (second !== undefined) throw new ProxyError('duplicate_model', 'The query names its model twice', MODEL);
  if (model === '') throw new ProxyError('missing_model', 'The model of the query is empty', MODEL);
  return model;
}

const MODEL = { param: 'model' };

/** The query with another model in it and every other byte as it was. */
export function replaceQueryModel(query: string, model: string): string {
  const named = `model=${encodeURIComponent(model)}`;
  return query
    .split('&')
    .map((pair) => (nameOf(pair) === 'model' ? named : pair))
    .join('&');
}

function nameOf(pair: string): string {
  const [name = ''] = new URLSearchParams(pair).keys();
  return name;
}
