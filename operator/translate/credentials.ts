import type { Backend } from '../../crds/llm-pool.ts';
import { credentialText } from '../../proxy/config/encode.ts';
import { credentialKey, type SecretValue, type Setting, type UpstreamTls } from '../../proxy/config/schema.ts';
import type { Problem } from './problem.ts';
import type { Resources, TranslateOptions } from './resources.ts';

export type Sender = Pick<Backend, 'auth' | 'headers' | 'query' | 'tls'>;

/** What a backend sends with each call, and the values from Secrets that it needs for that. */
export interface Sent {
  readonly headers: Setting[];
  readonly query: Setting[];
  readonly tls: UpstreamTls | undefined;
  /** By credentialKey. */
  readonly values: ReadonlyMap<string, string>;
  readonly problems: readonly Problem[];
}

/** What a value is for decides what it may hold. */
type Use = 'header' | 'query' | 'PEM';

interface Need {
  readonly at: SecretValue;
  readonly use: Use;
}

export function resolveSent(
  sender: Sender,
  namespace: string,
  { secrets }: Resources,
  { standalone }: TranslateOptions,
): Sent {
  const values = new Map<string, string>();
  const problems: Problem[] = [];
  for (const { at, use } of needsOf(sender)) {
    const data = secrets.get(`${namespace}/${at.secret}`)?.data;
    const read = data === undefined ? noSecret(at.secret, namespace, standalone) : readValue(at, data, use);
    if (typeof read === 'string') values.set(credentialKey(at), read);
    else problems.push(read);
  }
  return {
    headers: headersOf(sender),
    query: (sender.query ?? []).map(settingOf),
    tls: tlsOf(sender),
    values,
    problems,
  };
}

function needsOf({ auth, headers = [], query = [], tls }: Sender): Need[] {
  const { ca, cert, key } = tlsOf({ tls }) ?? {};
  return [
    ...needs('header', [auth, ...headers].map(secretValueOf)),
    ...needs('query', query.map(secretValueOf)),
    ...needs('PEM', [ca, cert, key]),
  ];
}

function needs(use: Use, values: readonly (SecretValue | undefined)[]): Need[] {
  return values.filter((at) => at !== undefined).map((at) => ({ at, use }));
}

function secretValueOf(
  from: { readonly secretKeyRef?: { readonly name: string; readonly key: string } | undefined } | undefined,
): SecretValue | undefined {
  const ref = from?.secretKeyRef;
  return ref && { secret: ref.name, key: ref.key };
}

/** The credential is a header like the others. */
function headersOf({ auth, headers = [] }: Sender): Setting[] {
  const rest = headers.map(settingOf);
  if (auth === undefined) return rest;
  const { header, scheme = header.toLowerCase() === 'authorization' ? 'Bearer' : '' } = auth;
  const prefix = scheme === '' ? {} : { prefix: `${scheme} ` };
  return [{ name: header, ...prefix, valueFrom: secretValueOf(auth) }, ...rest];
}

function settingOf(setting: NonNullable<Backend['headers']>[number]): Setting {
  return { name: setting.name, value: setting.value, valueFrom: secretValueOf(setting) };
}

/** Present where the CR says so much as `tls: {}`. */
function tlsOf({ tls }: Pick<Sender, 'tls'>): UpstreamTls | undefined {
  if (tls === undefined) return undefined;
  const { caSecretKeyRef: ca, clientCertSecretRef: client, serverName } = tls;
  return {
    ca: ca && { secret: ca.name, key: ca.key },
    cert: client && { secret: client.name, key: 'tls.crt' },
    key: client && { secret: client.name, key: 'tls.key' },
    serverName,
  };
}

/** `secret` is not there, or may not be named by a CR. */
export function noSecret(secret: string, namespace: string, standalone: boolean): Problem {
  const label = standalone ? '' : ', or has no label sluice.dev/credential: "true"';
  return { reason: 'SecretNotFound', message: `Secret '${secret}' is not in namespace ${namespace}${label}` };
}

/** Messages name the key and never tell of its value more than what is wrong with it. */
function readValue({ secret, key }: SecretValue, data: Readonly<Record<string, string>>, use: Use): string | Problem {
  const bad = (message: string): Problem => ({ reason: 'SecretKeyNotFound', message });
  const encoded = Object.hasOwn(data, key) ? data[key] : undefined;
  if (encoded === undefined) return bad(`Secret '${secret}' has no key '${key}'`);
  const fault = (what: string): Problem => bad(`key '${key}' of Secret '${secret}' ${what}`);
  const decoded = decode(encoded);
  if (decoded === undefined) return fault('is not UTF-8 text');
  const text = credentialText(decoded);
  if (text === '') return fault('is empty');
  if (use === 'header' && !/^[\t -~]*$/.test(text))
    return fault('is not printable ASCII on one line, as a header must be');
  if (use === 'query' && /\p{Cc}/u.test(text)) return fault('holds control characters');
  if (use === 'PEM' && !text.includes('-----BEGIN ')) return fault('holds no PEM block');
  return text;
}

function decode(base64: string): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(base64, 'base64'));
  } catch {
    return undefined;
  }
}
