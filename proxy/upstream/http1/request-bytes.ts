import { IS_TOKEN } from './answer-head.ts';
import { clientError } from './client-error.ts';
import type { Outgoing } from './connection.ts';

/**
 * The head of a request, to be written as latin1. `hostLine` is `host: …` with its CRLF.
 * @throws ERR_INVALID_HEADER where a part of it would be read as something else on the wire.
 */
export function requestHead({ method, path, headers, body }: Outgoing, hostLine: string): string {
  if (!isToken(method)) throw invalid('the method');
  if (!isVisible(path)) throw invalid('the path');
  let head = `${method} ${path} HTTP/1.1\r\n${hostLine}`;
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index] as string;
    const value = headers[index + 1] as string;
    if (!isToken(name) || isOurs(name)) throw invalid('the name of a header');
    if (!isValue(value)) throw invalid(`the value of ${name}`);
    head += `${name}: ${value}\r\n`;
  }
  return `${head}${framing(method, body)}\r\n`;
}

function framing(method: string, body: Outgoing['body']): string {
  if (body !== undefined) {
    return body.length === undefined ? 'transfer-encoding: chunked\r\n' : `content-length: ${body.length}\r\n`;
  }
  // Some servers wait for a body of these where nothing is said of one.
  return method === 'POST' || method === 'PUT' || method === 'PATCH' ? 'content-length: 0\r\n' : '';
}

/** What frames the request or names its connection: a second one would give it another end. */
export function isOurs(name: string): boolean {
  switch (name.length) {
    case 4:
      return name.toLowerCase() === 'host';
    case 10:
      return name.toLowerCase() === 'connection';
    case 14:
      return name.toLowerCase() === 'content-length';
    case 17:
      return name.toLowerCase() === 'transfer-encoding';
    default:
      return false;
  }
}

/** What may be a method or the name of a header. */
export function isToken(text: string): boolean {
  for (let at = 0; at < text.length; at += 1) {
    if (IS_TOKEN[text.charCodeAt(at)] !== 1) return false;
  }
  return text !== '';
}

function isVisible(text: string): boolean {
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code <= 32 || code === 127 || code > 255) return false;
  }
  return text !== '';
}

/** What may be the value of a header. Above 255 latin1 would keep the low byte alone: U+010A would become a line's end. */
export function isValue(text: string): boolean {
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if ((code < 32 && code !== 9) || code === 127 || code > 255) return false;
  }
  return true;
}

function invalid(what: string): Error {
  return clientError('ERR_INVALID_HEADER', `${what} has a character that must not be sent`);
}
