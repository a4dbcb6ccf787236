import { connect, isIP, type Socket } from 'node:net';
import { connect as connectTls, createSecureContext, type SecureContext } from 'node:tls';
import type { ConnectionSettings } from './connection.ts';

/** How the sockets to one origin are opened. */
export interface Way {
  /** With its CRLF. */
  readonly hostLine: string;
  /** The event by which a socket says that it can be written to. */
  readonly readyEvent: 'connect' | 'secureConnect';
  /**
   * A socket that is being connected. `onRead` is called with how many bytes lie in `readBuffer`, which the next read of any
   * socket overwrites. What is wrong with the settings themselves is thrown.
   */
  readonly open: (onRead: (size: number) => boolean) => Socket;
}

/**
 * Into which every socket reads: one buffer for all, in place of one that is allocated, cut to size and thrown away at each
 * read. A read is copied out before anything else happens.
 */
export const readBuffer = Buffer.allocUnsafeSlow(64 * 1024);

export function wayTo({ origin, ca, cert, key, serverName, lookup }: ConnectionSettings): Way {
  const { protocol, hostname, port, host } = new URL(origin);
  const isTls = protocol === 'https:';
  const bareHost = hostname.startsWith('[') ? hostname.slice(1, -1) : hostname;
  const options = {
    host: bareHost,
    port: port === '' ? (isTls ? 443 : 80) : Number(port),
    lookup,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: 60_000,
  };
  const hostLine = `host: ${host}\r\n`;
  if (!isTls) {
    return {
      hostLine,
      readyEvent: 'connect',
      open: (callback) => connect({ ...options, onread: { buffer: readBuffer, callback } }),
    };
  }
  // An address is no server name (RFC 6066); the certificate is then checked against the address.
  const servername = serverName ?? (isIP(bareHost) === 0 ? bareHost : undefined);
  let secureContext: SecureContext | undefined;
  let session: Buffer | undefined;
  return {
    hostLine,
    readyEvent: 'secureConnect',
    open: (callback) => {
      secureContext ??= createSecureContext({ ca, cert, key });
      const socket = connectTls({
        ...options,
        secureContext,
        ALPNProtocols: ['http/1.1'],
        ...(servername !== undefined && { servername }),
        ...(session !== undefined && { session }),
        ...{ onread: { buffer: readBuffer, callback } },
      });
      socket.on('session', (latest) => {
        session = latest;
      });
      socket.on('error', () => {
        session = undefined;
      });
      return socket;
    },
  };
}
