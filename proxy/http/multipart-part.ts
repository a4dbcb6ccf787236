import { ProxyError } from '../errors.ts';

/**
 * The text of multipart heads, read strictly: where servers read one text in different ways, it is refused, so that
 * the `model` found here is the one every upstream finds. Bytes are given as Latin-1.
 */

const BOUNDARY = /^[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]$/;
const HEADER = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*$/s;
const PARAMETER = /[ \t]*;[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)=(?:"((?:[^"\\]|\\.)*)"|([!#-:<-[\]-~]+))/y;
const NO_MORE = /[ \t]*;?[ \t]*$/y;

export function malformed(why: string): ProxyError {
  return new ProxyError('bad_request', `The multipart body is malformed: ${why}`);
}

/** The boundary that a Content-Type names. */
export function boundaryOf(contentType: string): string {
  const type = /^[ \t]*multipart\/form-data(?=[ \t]*(;|$))/i.exec(contentType)?.[0];
  if (type === undefined) {
    throw new ProxyError('unsupported_media_type', 'A multipart body has to be multipart/form-data');
  }
  const boundary = unescaped(parametersOf(contentType, type.length)?.get('boundary') ?? '');
  if (!BOUNDARY.test(boundary)) throw malformed('the Content-Type names no valid boundary');
  return boundary;
}

/** Whether the part with this head is the field `model`. The head is without the blank line that ends it. */
export function isModelPart(head: string): boolean {
  const headers = head.split('\r\n').map(headerOf);
  const dispositions = headers.filter(([name]) => name === 'content-disposition');
  const [disposition] = dispositions;
  if (disposition === undefined || dispositions.length > 1) throw malformed('each part has one Content-Disposition');
  if (!isField(disposition[1])) return false;
  // Some servers decode it, some do not.
  if (headers.some(([name]) => name === 'content-transfer-encoding')) throw malformed('`model` is sent encoded');
  return true;
}

function headerOf(line: string): [name: string, value: string] {
  const [, name, value] = HEADER.exec(line) ?? [];
  if (name === undefined || value === undefined || /[\r\n\0]/.test(value))
    throw malformed('a part has a broken header');
  return [name.toLowerCase(), value];
}

function isField(disposition: string): boolean {
  const type = /^form-data(?=[ \t]*(;|$))/i.exec(disposition)?.[0];
  const parameters = type === undefined ? undefined : parametersOf(disposition, type.length);
  const name = parameters?.get('name');
  if (parameters === undefined || name === undefined)
    throw malformed('a part has a Content-Disposition without a name');
  const keys = [...parameters.keys()];
  if (keys.some((key) => key.startsWith('name*'))) throw malformed('the name of a part is encoded');
  if (unescaped(name) !== 'model') return false;
  if (name !== 'model') throw malformed('the name `model` is written with escapes');
  if (keys.some((key) => key.startsWith('filename'))) throw malformed('`model` is a file; send it as a field');
  return true;
}

/** By lower-case name, values as they are between the quotes; undefined where they are broken or one is there twice. */
function parametersOf(text: string, start: number): ReadonlyMap<string, string> | undefined {
  const parameters = new Map<string, string>();
  let at = start;
  for (;;) {
    PARAMETER.lastIndex = at;
    const found = PARAMETER.exec(text);
    if (found === null) break;
    const name = (found[1] ?? '').toLowerCase();
    if (parameters.has(name)) return undefined;
    parameters.set(name, found[2] ?? found[3] ?? '');
    at = PARAMETER.lastIndex;
  }
  NO_MORE.lastIndex = at;
  return NO_MORE.test(text) ? parameters : undefined;
}

function unescaped(quoted: string): string {
  return quoted.includes('\\') ? quoted.replace(/\\(.)/gs, '$1') : quoted;
}
