import { BlockList, isIP, SocketAddress } from 'node:net';

/** Which upstreams may be called. The operator asks of what a CR says, the proxy again of what a name resolves to. */
export interface UpstreamPolicy {
  /** Addresses that may be called whatever else is said here. */
  readonly allow: readonly AddressRange[];
  /** Standalone: the models run beside it. */
  readonly allowLoopback: boolean;
  /** Addresses, and names, of the API server. */
  readonly apiServer: readonly string[];
}

export interface AddressRange {
  readonly address: string;
  readonly prefix: number;
  readonly family: 'ipv4' | 'ipv6';
}

/**
 * Why a host must not be called; undefined where it may. A host is a name or an address, spelt as a URL, an
 * EndpointSlice or a DNS answer spells it: IPv4 also in hex, octal or as one number, IPv6 with brackets or without.
 */
export type RefuseHost = (host: string) => string | undefined;

export function createUpstreamRules({ allow, allowLoopback, apiServer }: UpstreamPolicy): RefuseHost {
  const allowed = new BlockList();
  for (const { address, prefix, family } of allow) allowed.addSubnet(address, prefix, family);
  const apiNames = new Set(apiServer.map(plainName));
  const apiAddresses = [...apiNames].flatMap(addressesOf);
  const apiList = new BlockList();
  for (const address of apiAddresses) apiList.addAddress(address);

  return (host) => {
    const name = plainName(host);
    if (!isCallable(name)) return 'is not the name or address of a host';
    const isApiName = apiNames.has(name);
    const addresses = isApiName ? [...addressesOf(name), ...apiAddresses] : addressesOf(name);
    const isIn = (list: BlockList): boolean => addresses.some((address) => list.check(address));
    if (isIn(allowed)) return undefined;
    if (isIn(LINK_LOCAL)) return `is a link-local or metadata address${HINT}`;
    if (!allowLoopback && isIn(LOOPBACK)) return `is a loopback address${HINT}`;
    return isApiName || isIn(apiList) ? `is the address of the API server${HINT}` : undefined;
  };
}

const HINT = ' (--allow-upstream can allow it)';

/** Link-local, and where clouds that do not use it keep their metadata: AWS, GCP, Alibaba, Azure, Oracle. */
const LINK_LOCAL = listOf([
  ['169.254.0.0', 16],
  ['fe80::', 10],
  ['fd00:ec2::254', 128],
  ['fd20:ce::254', 128],
  ['100.100.100.200', 32],
  ['168.63.129.16', 32],
  ['192.0.0.192', 32],
]);

/** On Linux a connection to 0.0.0.0 or :: is one to loopback. */
const LOOPBACK = listOf([
  ['127.0.0.0', 8],
  ['0.0.0.0', 8],
  ['::1', 128],
  ['::', 128],
]);

/** Names that mean such an address wherever they are looked up. */
const MEANT_BY_NAME: ReadonlyMap<string, readonly string[]> = new Map([
  ['localhost', ['127.0.0.1', '::1']],
  ['metadata.google.internal', ['169.254.169.254']],
  ['metadata.goog', ['169.254.169.254']],
  ['instance-data.ec2.internal', ['169.254.169.254']],
]);

/** IPv6 prefixes, in hextets, behind which an IPv4 address stands: mapped, translated, NAT64, 6to4, compatible. */
const EMBEDDINGS: readonly { readonly prefix: readonly number[]; readonly at: number }[] = [
  { prefix: [0, 0, 0, 0, 0, 0xffff], at: 6 },
  { prefix: [0, 0, 0, 0, 0xffff, 0], at: 6 },
  { prefix: [0x64, 0xff9b, 0, 0, 0, 0], at: 6 },
  { prefix: [0x2002], at: 1 },
  { prefix: [0, 0, 0, 0, 0, 0], at: 6 },
];

function listOf(ranges: readonly (readonly [address: string, prefix: number])[]): BlockList {
  const list = new BlockList();
  for (const [address, prefix] of ranges) list.addSubnet(address, prefix, address.includes(':') ? 'ipv6' : 'ipv4');
  return list;
}

/** A host in one spelling: lower case, no brackets, zone or final dots, IPv4 in four decimals. Empty: none. */
function plainName(host: string): string {
  const bare = host.replace(/^\[|\]$/g, '');
  const version = isIP(bare);
  if (version !== 0) return version === 6 ? bare.replace(/%.*$/, '') : bare;
  if (/[/\\?#@:\s]/.test(bare)) return '';
  try {
    return withoutFinalDots(new URL(`http://${bare}`).hostname);
  } catch {
    return '';
  }
}

function withoutFinalDots(name: string): string {
  let end = name.length;
  while (name[end - 1] === '.') end -= 1;
  return name.slice(0, end);
}

function isCallable(name: string): boolean {
  return name !== '' && !name.startsWith('.') && !name.includes('..');
}

/** The address a plain name is or means, and the IPv4 addresses hidden in it. None: it has to be looked up. */
function addressesOf(name: string): SocketAddress[] {
  const version = isIP(name);
  if (version === 4) return [addressOf(name)];
  if (version === 6) return [addressOf(name), ...embeddedIn(name)];
  return (MEANT_BY_NAME.get(name.endsWith('.localhost') ? 'localhost' : name) ?? []).map(addressOf);
}

function addressOf(address: string): SocketAddress {
  return new SocketAddress({ address, family: address.includes(':') ? 'ipv6' : 'ipv4' });
}

function embeddedIn(ipv6: string): SocketAddress[] {
  const all = hextets(ipv6);
  const found = EMBEDDINGS.find(({ prefix }) => prefix.every((value, index) => all[index] === value));
  if (found === undefined) return [];
  const bytes = [all[found.at] ?? 0, all[found.at + 1] ?? 0].flatMap((hextet) => [hextet >> 8, hextet & 0xff]);
  return [addressOf(bytes.join('.'))];
}

/** All eight of them; URL writes the address without dotted decimals. */
function hextets(ipv6: string): number[] {
  const plain = new URL(`http://[${ipv6}]`).hostname.slice(1, -1);
  const [head = '', tail] = plain.split('::');
  const before = numbers(head);
  if (tail === undefined) return before;
  const after = numbers(tail);
  return [...before, ...new Array<number>(8 - before.length - after.length).fill(0), ...after];
}

function numbers(part: string): number[] {
  return part === '' ? [] : part.split(':').map((hextet) => Number.parseInt(hextet, 16));
}
