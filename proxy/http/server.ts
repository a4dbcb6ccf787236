import { createServer, type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Duplex } from 'node:stream';
import { type ErrorCode, errorBody, statusOf } from '../errors.ts';
import type { Times } from '../times.ts';

/** PEM. */
export interface TlsPair {
  readonly cert: string;
  readonly key: string;
}

const OPTIONS = {
  requestTimeout: 0,
  // Longer than the 60 s after which common load balancers let go of an idle connection.
  keepAliveTimeout: 75_000,
  maxHeaderSize: 16_384,
  noDelay: true,
  /** For TLS; Node's own 120 s would hold up a drain. */
  handshakeTimeout: 10_000,
};

/** The HTTP door: Node's own server, strict, with every refusal of its parser answered as an OpenAI error. */
export function createHttpServer(
  listener: (req: IncomingMessage, res: ServerResponse) => void,
  { headMs, headCheckMs }: Pick<Times, 'headMs' | 'headCheckMs'>,
  tls?: TlsPair,
): Server {
  const options = { ...OPTIONS, headersTimeout: headMs, connectionsCheckingInterval: headCheckMs };
  const server = tls === undefined ? createServer(options) : createTlsServer({ ...options, ...tls });
  server.on('request', listener);
  // Whoever reads the body asks for it (`askForBody`): a head that is refused needs none.
  server.on('checkContinue', listener);
  server.on('clientError', refuse);
  return server as Server;
}

/** Node's own place for the answer under way on a connection; it looks there itself before it refuses. */
type ServerSocket = Duplex & { readonly _httpMessage?: ServerResponse | null };

function refuse(error: NodeJS.ErrnoException, socket: ServerSocket): void {
  const isAnswering = socket._httpMessage?.headersSent ?? false;
  // A refusal in the middle of an answer would be taken for part of it.
  if (!socket.writable || isAnswering || error.code === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  const [code, message] = describe(error.code ?? '');
  const body = errorBody(code, message);
  const status = statusOf(code);
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\ncontent-type: application/json\r\n` +
      `content-length: ${body.length}\r\nconnection: close\r\n\r\n${body.toString()}`,
  );
}

function describe(code: string): [ErrorCode, string] {
  if (code === 'HPE_HEADER_OVERFLOW')
    return ['headers_too_large', `The headers are larger than ${OPTIONS.maxHeaderSize} bytes`];
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return ['client_timeout', 'The headers did not arrive in time'];
  return ['bad_request', `This is not HTTP/1.1 as it should be (${code})`];
}
