import type { Backend, Endpoint } from '../pool.ts';

/** The next usable endpoint of a backend from the one whose turn it is; its turn is over only once it is taken. */
export function nextInTurn(
  { endpoints, state }: Backend,
  isUsable: (endpoint: Endpoint) => boolean,
): Endpoint | undefined {
  for (let step = 0; step < endpoints.length; step += 1) {
    const endpoint = endpoints[(state.nextEndpoint + step) % endpoints.length];
    if (endpoint !== undefined && isUsable(endpoint)) return endpoint;
  }
  return undefined;
}

/** Ends an endpoint's turn. */
export function endTurn(endpoint: Endpoint): Endpoint {
  const { endpoints, state } = endpoint.backend;
  state.nextEndpoint = endpoints.indexOf(endpoint) + 1;
  return endpoint;
}
