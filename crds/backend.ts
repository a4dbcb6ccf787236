import * as z from 'zod';
import { mapOf, namedList } from './list.ts';
import { portOrName } from './quantity.ts';
import { rule } from './rule.ts';
import { dnsLabel, objectName, PATH, settableHeader, TOKEN, text } from './text.ts';

const PORT = '([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])';
const HOST = '([A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_.])?|\\[[0-9A-Fa-f:.]+\\])';
const URL_FORM = `^https?://${HOST}(:${PORT})?(/${PATH})?$`;
const IPV6 = '\\[(fe[89ab][0-9a-f]:|fd00:ec2::254\\]|fd20:ce::254\\])';
const NAMED = '(100[.]100[.]100[.]200|168[.]63[.]129[.]16|metadata[.]google[.]internal)[.]?([:/]|$)';
// Plain spellings only: what hides an address otherwise is found by the operator, and by the proxy once resolved.
const FORBIDDEN_HOST = `^https?://(169[.]254[.]|${IPV6}|${NAMED})`;

const isForbidden = matcher(FORBIDDEN_HOST);

/** Where a server is: base address of every call. */
export const url = rule(
  rule(text({ min: 1, max: 2_048 }), {
    cel: `self.matches(${celString(URL_FORM)})`,
    message: 'url must be http:// or https://, a host, and at most a port and a path: no userinfo, query or fragment',
    check: matcher(URL_FORM),
  }),
  {
    cel: `!self.lowerAscii().matches(${celString(FORBIDDEN_HOST)})`,
    message: 'url must not be a link-local or metadata address',
    check: (value) => !isForbidden(value.toLowerCase()),
  },
);

/** A base path: empty, or with a slash in front. */
function basePath(path: string): z.ZodDefault<z.ZodString> {
  return text({ max: 1_024, pattern: `^(/${PATH})?$`, message: 'must be empty or begin with "/"' }).default(path);
}

const secretKey = text({ min: 1, max: 253, pattern: '^[-._a-zA-Z0-9]+$', message: 'must be a key of a Secret' });

const SecretKeyRef = z
  .strictObject({
    name: objectName.describe('The Secret, in the namespace of this object.'),
    key: secretKey.describe('The key in the Secret.'),
  })
  .meta({ 'x-kubernetes-map-type': 'atomic' });

export const SecretRef = z
  .strictObject({ name: objectName.describe('The Secret, in the namespace of this object.') })
  .meta({ 'x-kubernetes-map-type': 'atomic' });

export const Auth = z.strictObject({
  secretKeyRef: SecretKeyRef.describe(
    'Where the credential is. The Secret must have the label sluice.dev/credential: "true".',
  ),
  header: settableHeader.default('authorization').describe('The header it is sent in.'),
  scheme: text({ max: 64, pattern: `^(${TOKEN})?$`, message: 'must be empty or one word' })
    .optional()
    .describe(
      'What stands before it. Absent: Bearer with the header authorization, else empty, which is the bare key.',
    ),
});
export type Auth = z.output<typeof Auth>;

const headerValue = text({ max: 4_096, pattern: '^[\\t -~]*$', message: 'must be printable ASCII on one line' });
const setting = <S extends z.ZodType<string>, V extends z.ZodType<string>>(name: S, value: V) =>
  rule(
    z.strictObject({
      name: name.describe('Its name.'),
      value: value.optional().describe('Its value. Exactly one of value and secretKeyRef.'),
      secretKeyRef: SecretKeyRef.optional().describe('Where its value is. Exactly one of value and secretKeyRef.'),
    }),
    {
      cel: 'has(self.value) != has(self.secretKeyRef)',
      message: 'exactly one of value and secretKeyRef must be set',
      check: (entry) => (entry.value !== undefined) !== (entry.secretKeyRef !== undefined),
    },
  );

const Header = setting(settableHeader, headerValue);
export const Headers = namedList(Header, { key: 'name', max: 32 });
const QueryParameter = setting(text({ min: 1, max: 256 }), text({ max: 4_096 }));
export const Query = namedList(QueryParameter, { key: 'name', max: 32 });

export const Tls = z.strictObject({
  caSecretKeyRef: SecretKeyRef.optional().describe('The CA certificates (PEM) to trust. Absent: those of the system.'),
  clientCertSecretRef: SecretRef.optional().describe('A Secret with tls.crt and tls.key to show to the server.'),
  serverName: text({
    min: 1,
    max: 253,
    pattern: '^[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?$',
    message: 'must be a host name',
  })
    .optional()
    .describe("The name to ask for and to find in the server's certificate. Absent: the host of the address."),
});
export type Tls = z.output<typeof Tls>;

/** A Service of the same namespace. */
export function serviceBackend(path: string) {
  return z.strictObject({
    name: dnsLabel.describe('The Service, in the namespace of this object.'),
    port: portOrName(63).describe("The Service's port, by number or name."),
    path: basePath(path).describe('Base path of every call.'),
    via: z
      .enum(['Endpoints', 'ClusterIP'])
      .default('Endpoints')
      .describe('Endpoints: its ready endpoints are balanced here. ClusterIP: its cluster address is called (meshes).'),
  });
}

/** Ready Pods of the same namespace. */
export function podsBackend(path: string) {
  return z.strictObject({
    selector: z
      .strictObject({
        matchLabels: mapOf(
          text({ max: 63, pattern: '^([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)?$', message: 'must be a label value' }),
          {
            min: 1,
            max: 16,
          },
        ).describe('The labels a Pod must have, all of them.'),
      })
      .meta({ 'x-kubernetes-map-type': 'atomic' })
      .describe('Which Pods. It must not be empty.'),
    port: portOrName(15).describe('The port, by number or by the name of a container port.'),
    path: basePath(path).describe('Base path of every call.'),
  });
}

function matcher(pattern: string): (value: string) => boolean {
  const expression = new RegExp(pattern);
  return (value) => expression.test(value);
}

/** A CEL string literal; JSON's escapes are CEL's. */
function celString(value: string): string {
  return `'${value.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
