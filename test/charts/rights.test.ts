import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { KubeObject } from '../../kube/object.ts';
import { type ApiServer, startApiServer } from '../support/apiserver.ts';
import { renderChart } from '../support/chart.ts';

interface Rule {
  readonly apiGroups: string[];
  readonly resources: string[];
  readonly verbs: string[];
}

/** `verb group/resource` for everything that a Role or ClusterRole grants, by `Kind/namespace`. */
function rights(objects: readonly KubeObject[], account: string): Record<string, string[]> {
  const roles = objects.filter((object) => object.kind === 'Role' || object.kind === 'ClusterRole');
  const bindings = objects.filter((object) => object.kind === 'RoleBinding' || object.kind === 'ClusterRoleBinding');
  const granted: Record<string, string[]> = {};
  for (const role of roles) {
    const binding = bindings.find(
      (object) => object.metadata.name === role.metadata.name && object.metadata.namespace === role.metadata.namespace,
    );
    expect(binding?.['roleRef']).toMatchObject({ kind: role.kind, name: role.metadata.name });
    const [subject, ...others] = (binding?.['subjects'] ?? []) as { kind: string; name: string; namespace: string }[];
    expect(others).toEqual([]);
    expect(subject).toMatchObject({ kind: 'ServiceAccount', namespace: 'sluice' });
    if (subject?.name !== account) continue;
    const where = role.metadata.namespace ?? '*';
    granted[where] = [...(granted[where] ?? []), ...(role['rules'] as Rule[]).flatMap(grants)].sort();
  }
  return granted;
}

function grants(rule: Rule): string[] {
  expect(Object.keys(rule).sort()).toEqual(['apiGroups', 'resources', 'verbs']);
  const [group = '', ...others] = rule.apiGroups;
  expect(others).toEqual([]);
  return rule.resources.flatMap((resource) => rule.verbs.map((verb) => `${verb} ${group}/${resource}`));
}

const READ = ['get', 'list', 'watch'];
const WRITE = ['create', 'patch', 'delete'];
const each = (verbs: readonly string[], resource: string) => verbs.map((verb) => `${verb} ${resource}`);
const WATCHED = [
  ...each(READ, 'sluice.dev/llmpools'),
  ...each(READ, 'sluice.dev/embeddinginstances'),
  ...each(['update', 'patch'], 'sluice.dev/llmpools/status'),
  ...each(['update', 'patch'], 'sluice.dev/embeddinginstances/status'),
  ...each(READ, '/services'),
  ...each(READ, '/pods'),
  ...each(READ, '/secrets'),
  ...each(READ, 'discovery.k8s.io/endpointslices'),
  ...each(['create', 'patch'], 'events.k8s.io/events'),
].sort();
const OWN = [
  ...each([...READ, ...WRITE], '/configmaps'),
  ...each([...READ, ...WRITE], '/secrets'),
  ...each(['get', 'create', 'update'], 'coordination.k8s.io/leases'),
  ...each(READ, 'discovery.k8s.io/endpointslices'),
].sort();
const SIDECARS = each([...READ, ...WRITE], '/configmaps').sort();

describe('the rights that the chart grants', () => {
  test('the operator reads everywhere, and writes status, events and what it publishes, nothing else', async () => {
    expect(rights(await renderChart(), 'sluice-operator')).toEqual({ '*': WATCHED, sluice: OWN });
  });

  test('with watchNamespaces it has no right in the whole cluster', async () => {
    const objects = await renderChart({ watchNamespaces: ['ml', 'search'], sidecarNamespaces: ['apps'] });
    expect(objects.filter((object) => object.kind?.startsWith('ClusterRole'))).toEqual([]);
    expect(rights(objects, 'sluice-operator')).toEqual({ ml: WATCHED, search: WATCHED, apps: SIDECARS, sluice: OWN });
  });

  test('its own namespace and that of sidecars may be watched ones', async () => {
    const objects = await renderChart({ watchNamespaces: ['sluice', 'ml'], sidecarNamespaces: ['ml'] });
    expect(rights(objects, 'sluice-operator')).toEqual({
      sluice: [...WATCHED, ...OWN].sort(),
      ml: [...WATCHED, ...SIDECARS].sort(),
    });
  });

  test('a proxy reads ConfigMaps and Secrets of its own namespace, nothing else', async () => {
    expect(rights(await renderChart(), 'sluice-proxy')).toEqual({
      sluice: [...each(READ, '/configmaps'), ...each(READ, '/secrets')].sort(),
    });
  });
});

describe('on a real API server', () => {
  let server: ApiServer;

  beforeAll(async () => {
    server = await startApiServer();
    for (const object of await renderChart()) await server.apply(object);
  });
  afterAll(() => server?.stop());

  async function allowed(account: string, verb: string, resource: string, namespace?: string): Promise<boolean> {
    const [group, name, subresource] = resource.split('/');
    const review = {
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SubjectAccessReview',
      spec: {
        user: `system:serviceaccount:sluice:${account}`,
        groups: ['system:serviceaccounts', 'system:serviceaccounts:sluice', 'system:authenticated'],
        resourceAttributes: { verb, group, resource: name, subresource, namespace },
      },
    };
    const path = '/apis/authorization.k8s.io/v1/subjectaccessreviews';
    const { status, body } = await server.call<{ status: { allowed: boolean } }>('POST', path, review);
    expect(status).toBe(201);
    return body.status.allowed;
  }

  test('every object of the chart is accepted as it stands', async () => {
    for (const object of await renderChart()) {
      const stored = await server.call('GET', await server.pathOf(object));
      expect([object.kind, object.metadata.name, stored.status]).toEqual([object.kind, object.metadata.name, 200]);
    }
  });

  test.each([
    ['sluice-operator', 'watch', 'sluice.dev/llmpools', undefined, true],
    ['sluice-operator', 'patch', 'sluice.dev/llmpools/status', 'ml', true],
    ['sluice-operator', 'patch', 'sluice.dev/llmpools', 'ml', false],
    ['sluice-operator', 'list', '/secrets', 'ml', true],
    ['sluice-operator', 'create', '/secrets', 'ml', false],
    ['sluice-operator', 'create', '/secrets', 'sluice', true],
    ['sluice-operator', 'patch', '/configmaps', 'ml', false],
    ['sluice-operator', 'list', '/configmaps', 'ml', false],
    ['sluice-operator', 'create', '/serviceaccounts/token', 'sluice', false],
    ['sluice-operator', 'update', 'coordination.k8s.io/leases', 'sluice', true],
    ['sluice-operator', 'update', 'coordination.k8s.io/leases', 'kube-system', false],
    ['sluice-proxy', 'watch', '/configmaps', 'sluice', true],
    ['sluice-proxy', 'watch', '/secrets', 'sluice', true],
    ['sluice-proxy', 'list', '/secrets', undefined, false],
    ['sluice-proxy', 'list', '/secrets', 'ml', false],
    ['sluice-proxy', 'patch', '/configmaps', 'sluice', false],
    ['sluice-proxy', 'list', 'sluice.dev/llmpools', 'sluice', false],
  ])('may %s %s %s in %s: %s', async (account, verb, resource, namespace, expected) => {
    expect(await allowed(account, verb, resource, namespace)).toBe(expected);
  });

  test('the pods pass the restricted Pod Security standard', async () => {
    const labels = { 'pod-security.kubernetes.io/enforce': 'restricted' };
    await server.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'restricted', labels } });
    for (const object of await renderChart({}, { namespace: 'restricted' })) {
      if (object.kind === 'ServiceAccount') await server.apply(object);
      if (object.kind !== 'Deployment') continue;
      const { metadata, spec } = (object['spec'] as { template: { metadata: object; spec: object } }).template;
      const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { ...metadata, name: object.metadata.name }, spec };
      const answer = await server.call('POST', '/api/v1/namespaces/restricted/pods?dryRun=All', pod);
      expect([answer.status, answer.body]).toEqual([201, expect.objectContaining({ kind: 'Pod' })]);
    }
  });
});
