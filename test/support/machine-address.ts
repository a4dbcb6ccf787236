import { networkInterfaces } from 'node:os';

/**
 * An IPv4 address of this machine that is not loopback: an EndpointSlice takes no other. Throws where there is none;
 * then `ip addr add 192.0.2.2/32 dev lo` makes one.
 */
export function machineAddress(): string {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  const usable = all.find(({ family, address }) => family === 'IPv4' && !/^(127|169\.254)\./.test(address));
  if (usable === undefined) throw new Error('this machine has no IPv4 address but loopback: EndpointSlices need one');
  return usable.address;
}
