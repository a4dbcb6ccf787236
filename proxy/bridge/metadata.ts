/** Flat, as all headers here. */

const NOT_METADATA = new Set([
  ...['content-type', 'content-encoding', 'content-language', 'accept', 'accept-encoding', 'accept-language'],
  ...['accept-charset', 'x-tei-instance', 'x-tei-model'],
]);

const ASCII = /^[\x20-\x7e]*$/;

/**
 * The headers of a request over HTTP, in any case, as metadata of the call that it becomes: what does not speak of its
 * body, and is not gRPC's own.
 */
export function metadataOf(headers: readonly string[]): string[] {
  const metadata = ['content-type', 'application/grpc', 'te', 'trailers'];
  for (let index = 0; index < headers.length; index += 2) {
    const name = (headers[index] as string).toLowerCase();
    const value = headers[index + 1] as string;
    if (!NOT_METADATA.has(name) && !isGrpcs(name) && ASCII.test(value)) metadata.push(name, value);
  }
  return metadata;
}

/** Metadata of an answer, in lower case, as headers beside a body of JSON of so many bytes, where that is known. */
export function headersOf(metadata: readonly string[], bodyBytes?: number): string[] {
  const headers = ['content-type', 'application/json'];
  if (bodyBytes !== undefined) headers.push('content-length', String(bodyBytes));
  for (let index = 0; index < metadata.length; index += 2) {
    const name = metadata[index] as string;
    if (!name.startsWith('content-') && !isGrpcs(name)) headers.push(name, metadata[index + 1] as string);
  }
  return headers;
}

/** Its own names, and values that only it can read. */
function isGrpcs(name: string): boolean {
  return name.startsWith('grpc-') || name.endsWith('-bin');
}
