import { type AddressRange, createUpstreamRules } from '../../proxy/config/upstream-address.ts';
import type { Resources, TranslateOptions } from './resources.ts';

/** Why an address must not be called; undefined where it may, or where only the proxy can tell. */
export type RefuseUpstream = (host: string, port: number) => string | undefined;

/** How the API server is called by name in every cluster. */
const API_SERVER_NAMES = ['kubernetes.default', 'kubernetes.default.svc', 'kubernetes.default.svc.cluster.local'];

/**
 * The rules for what CRs and EndpointSlices say. The API server's cluster address is refused whole; where it really
 * listens, often a node on which models run too, only on its own port.
 */
export function createRefuseUpstream({ services, slices }: Resources, options: TranslateOptions): RefuseUpstream {
  const { standalone, allowUpstream, apiServerAddresses } = options;
  const allow = allowUpstream.map(rangeOf);
  const kubernetes = standalone ? undefined : services.get('default/kubernetes');
  const behind = standalone ? [] : (slices.get('default/kubernetes') ?? []);
  const known = [...apiServerAddresses, ...API_SERVER_NAMES, ...(kubernetes?.clusterIPs ?? [])];
  const refuse = createUpstreamRules({ allow, allowLoopback: standalone, apiServer: standalone ? [] : known });
  const addresses = behind.flatMap(({ endpoints }) => endpoints.flatMap((endpoint) => endpoint.addresses));
  const ports = new Set(behind.flatMap((slice) => slice.ports.map(({ port }) => port)));
  const refuseBehind = createUpstreamRules({ allow, allowLoopback: true, apiServer: addresses });
  return (host, port) => refuse(host) ?? (ports.has(port) ? refuseBehind(host) : undefined);
}

/** `10.0.0.0/8`; an address alone is that address. */
function rangeOf(text: string): AddressRange {
  const [address = '', digits] = text.split('/');
  const family = address.includes(':') ? 'ipv6' : 'ipv4';
  return { address, family, prefix: digits === undefined ? (family === 'ipv6' ? 128 : 32) : Number(digits) };
}
