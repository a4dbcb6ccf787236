import { describe, expect, test } from 'vitest';
import { createUpstreamRules, type UpstreamPolicy } from '../../../proxy/config/upstream-address.ts';

const CLUSTER: UpstreamPolicy = { allow: [], allowLoopback: false, apiServer: ['10.96.0.1', 'api.example.com'] };
const rules = (policy: Partial<UpstreamPolicy> = {}) => createUpstreamRules({ ...CLUSTER, ...policy });

const LINK_LOCAL = [
  ...['169.254.169.254', '169.254.0.1', '169.254.169.254.', '2852039166', '0xa9fea9fe', '0xA9.0xFE.0xA9.0xFE'],
  ...['0251.0376.0251.0376', '025177524776', '169.254.43518', '169.16689662', '0xa9.254.0251.254'],
  ...['[::ffff:169.254.169.254]', '::ffff:a9fe:a9fe', '0:0:0:0:0:ffff:169.254.169.254', '::169.254.169.254'],
  ...['64:ff9b::a9fe:a9fe', '[64:ff9b::169.254.169.254]', '2002:a9fe:a9fe::1', '::ffff:0:a9fe:a9fe'],
  ...['fe80::1', '[FE80::1]', 'febf::1', 'fe80::1%eth0', 'fd00:ec2::254', '[fd00:0ec2:0:0::254]', 'fd20:ce::254'],
  ...['100.100.100.200', '168.63.129.16', '192.0.0.192', 'metadata.google.internal', 'METADATA.google.internal.'],
  ...['metadata.goog', 'instance-data.ec2.internal'],
];
const LOOPBACK = [
  ...['127.0.0.1', '127.1', '127.255.255.254', '2130706433', '0x7f000001', '0177.0.0.1', '127.0.0.1.', '0', '0.0.0.0'],
  ...['::1', '[::1]', '::', '0:0:0:0:0:0:0:1', '::ffff:127.0.0.1', '64:ff9b::7f00:1', '::ffff:0.0.0.0'],
  ...['localhost', 'LocalHost', 'localhost.', 'localhost..', 'a.localhost'],
];
const API_SERVER = [
  '10.96.0.1',
  '0x0a600001',
  '::ffff:10.96.0.1',
  '[::ffff:a60:1]',
  'API.example.com',
  'api.example.com.',
];
const ORDINARY = [
  ...[
    'example.com',
    'a.example.com.',
    'vllm',
    'my_host',
    '10.0.0.1',
    '169.253.255.255',
    '169.255.0.1',
    '[2001:db8::1]',
  ],
  ...['fec0::1', 'fe7f::1', 'fd00:ec2::253', 'localhost.example.com', 'notlocalhost', '128.0.0.1', '126.255.255.255'],
  ...['::ffff:10.0.0.1', '64:ff9b::808:808', '2002:808:808::1', '100.100.100.201', '10.96.0.2'],
];
const NONSENSE = [
  '',
  '.',
  '..',
  'a..b',
  '.a',
  '1.2.3.999',
  '4294967296',
  'a b',
  'a/b',
  'a@127.0.0.1',
  'a:80',
  '[]',
  'a\\b',
];

describe('in a cluster', () => {
  test.each(LINK_LOCAL)('%s is refused as link-local or metadata', (host) => {
    expect(rules()(host)).toMatch(/^is a link-local or metadata address \(--allow-upstream/);
  });
  test.each(LOOPBACK)('%s is refused as loopback', (host) => {
    expect(rules()(host)).toMatch(/^is a loopback address \(--allow-upstream/);
  });
  test.each(API_SERVER)('%s is refused as the address of the API server', (host) => {
    expect(rules()(host)).toMatch(/^is the address of the API server \(--allow-upstream/);
  });
  test.each(ORDINARY)('%s may be called', (host) => {
    expect(rules()(host)).toBeUndefined();
  });
  test.each(NONSENSE)('%j is no host', (host) => {
    expect(rules()(host)).toBe('is not the name or address of a host');
  });
});

describe('beside its models', () => {
  test.each(LOOPBACK)('%s may be called', (host) => {
    expect(rules({ allowLoopback: true })(host)).toBeUndefined();
  });
  test.each(LINK_LOCAL)('%s is refused all the same', (host) => {
    expect(rules({ allowLoopback: true })(host)).toMatch(/link-local/);
  });
});

describe('what --allow-upstream holds may be called', () => {
  const allowing = (address: string, prefix: number) =>
    rules({ allow: [{ address, prefix, family: address.includes(':') ? 'ipv6' : 'ipv4' }] });

  test.each(['127.0.0.1', '0x7f.1', 'localhost', 'a.localhost', '::ffff:127.0.0.1', '64:ff9b::7f00:1'])(
    '%s, where 127.0.0.0/8 is allowed',
    (host) => expect(allowing('127.0.0.0', 8)(host)).toBeUndefined(),
  );
  test.each(['::1', '0.0.0.0', '169.254.169.254', '10.96.0.1'])('but not %s', (host) => {
    expect(allowing('127.0.0.0', 8)(host)).toBeDefined();
  });
  test('a single link-local address, and not its neighbour', () => {
    expect(allowing('169.254.7.7', 32)('169.254.1799')).toBeUndefined();
    expect(allowing('169.254.7.7', 32)('169.254.7.8')).toBeDefined();
  });
  test('IPv6, in any spelling', () => {
    expect(allowing('fe80::', 64)('[FE80:0:0::1]')).toBeUndefined();
    expect(allowing('fe80::', 64)('fe80:0:0:1::1')).toBeDefined();
  });
  test("the API server's own, by its address and by its name", () => {
    expect(allowing('10.96.0.1', 32)('10.96.0.1')).toBeUndefined();
    expect(allowing('10.96.0.1', 32)('api.example.com')).toBeUndefined();
  });
});
