import { createServer, type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Duplex } from 'node:stream';
import { type ErrorCode, errorBody, statusOf } from '../errors.ts';
import type { Times } from '../times.ts';
import { inTurn, type RequestListener } from './in-turn.ts';

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
  // Node would answer without a body; the listener looks for itself.
  requireHostHeader: false,
  /** For TLS; Node's own 120 s would hold up a drain. */
  handshakeTimeout: 10_000,
};

/**
 * The HTTP door: Node's own server, strict, one request of a connection at a time, with every refusal of its parser
 * answered as an OpenAI error. A head with a fault comes to the listener as any other: an upgrade, an expectation that
 * is not 100-continue, no Host.
 */
export function createHttpServer(
  listener: RequestListener,
  { headMs, headCheckMs, restMs }: Pick<Times, 'headMs' | 'headCheckMs' | 'restMs'>,
  tls?: TlsPair,
): Server {
  const options = { ...OPTIONS, headersTimeout: headMs, connectionsCheckingInterval: headCheckMs };
  const server = tls === undefined ? createServer(options) : createTlsServer({ ...options, ...tls });
  const serve = inTurn(listener);
  server.on('request', serve);
  // Whoever reads the body asks for it (`askForBody`): a head that is refused needs none.
  server.on('checkContinue', serve);
  server.on('checkExpectation', serve);
  server.on('connect', (_req: IncomingMessage, socket: Duplex) => {
    // Node has let go of the connection: nobody else listens to its errors.
    socket.on('error', () => socket.destroy());
    refuse(socket, 'method_not_allowed', 'CONNECT is not allowed here: this is no tunnel', restMs, ALLOW);
  });
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
    if (error.code === 'ECONNRESET') socket.destroy();
    else refuse(socket, ...describe(error.code ?? ''), restMs);
  });
  return server as Server;
}

const ALLOW = 'allow: GET, POST, DELETE\r\n';

/** Node's own place for the answer under way on a connection; it looks there itself before it refuses. */
type ServerSocket = Duplex & { readonly _httpMessage?: ServerResponse | null };

/** The last that is said on a connection. A client that does not close it then is cut. */
function refuse(socket: ServerSocket, code: ErrorCode, message: string, restMs: number, header = ''): void {
  const isAnswering = socket._httpMessage?.headersSent ?? false;
  // A refusal in the middle of an answer would be taken for part of it.
  if (!socket.writable || isAnswering) {
    socket.destroy();
    return;
  }
  const body = errorBody(code, message);
  const status = statusOf(code);
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\ncontent-type: application/json\r\n${header}` +
      `content-length: ${body.length}\r\nconnection: close\r\n\r\n${body.toString()}`,
  );
  socket.resume();
  const timer = setTimeout(() => socket.destroy(), restMs);
  socket.once('close', () => clearTimeout(timer));
}

function describe(code: string): [ErrorCode, string] {
  if (code === 'HPE_HEADER_OVERFLOW')
    return ['headers_too_large', `The headers are larger than ${OPTIONS.maxHeaderSize} bytes`];
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return ['client_timeout', 'The headers did not arrive in time'];
  return ['bad_request', `This is not HTTP/1.1 as it should be (${code})`];
}
