/** The client's query and a backend's own, `?` included. A parameter that the backend sets is not the client's to set. */
export function joinQuery(fromClient: string, ofBackend: string): string {
  if (ofBackend === '') return fromClient === '' ? '' : `?${fromClient}`;
  if (fromClient === '') return `?${ofBackend}`;
  const taken = new Set(new URLSearchParams(ofBackend).keys());
  const kept = fromClient.split('&').filter((pair) => !taken.has(nameOf(pair)));
  return `?${[...kept, ofBackend].join('&')}`;
}

function nameOf(pair: string): string {
  const [name = ''] = new URLSearchParams(pair).keys();
  return name;
}
