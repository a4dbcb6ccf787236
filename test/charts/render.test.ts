import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import type { KubeObject } from '../../kube/object.ts';
import { renderChart } from '../support/chart.ts';

interface Container {
  readonly command: string[];
  readonly args: string[];
  readonly image: string;
  readonly [field: string]: unknown;
}

interface Deployment extends KubeObject {
  readonly spec: {
    readonly replicas: number;
    readonly template: {
      readonly metadata: { labels: Record<string, string>; annotations?: Record<string, string> };
      readonly spec: { containers: [Container]; volumes?: unknown[]; [field: string]: unknown };
    };
  };
}

/** `Kind/name`, sorted; CRDs left out. */
function names(objects: readonly KubeObject[]): string[] {
  return objects
    .filter((object) => object.kind !== 'CustomResourceDefinition')
    .map((object) => `${object.kind}/${object.metadata.name}`)
    .sort();
}

function find<T extends KubeObject = KubeObject>(objects: readonly KubeObject[], kind: string, name: string): T {
  const found = objects.find((object) => object.kind === kind && object.metadata.name === name);
  if (found === undefined) throw new Error(`no ${kind} ${name} among ${names(objects).join(', ')}`);
  return found as T;
}

function podOf(objects: readonly KubeObject[], component: 'operator' | 'proxy') {
  const { spec } = find<Deployment>(objects, 'Deployment', `sluice-${component}`);
  return { ...spec.template, container: spec.template.spec.containers[0] };
}

describe('without values', async () => {
  const objects = await renderChart();

  test('it makes the objects of the contract and no others', () => {
    expect(names(objects)).toEqual([
      'ClusterRole/sluice-sluice-operator',
      'ClusterRoleBinding/sluice-sluice-operator',
      'ConfigMap/sluice-root',
      'Deployment/sluice-operator',
      'Deployment/sluice-proxy',
      'PodDisruptionBudget/sluice-proxy',
      'Role/sluice-proxy',
      'Role/sluice-sluice-operator-publish',
      'RoleBinding/sluice-proxy',
      'RoleBinding/sluice-sluice-operator-publish',
      'Service/sluice-proxy',
      'Service/sluice-proxy-admin',
      'Service/sluice-proxy-headless',
      'ServiceAccount/sluice-operator',
      'ServiceAccount/sluice-proxy',
    ]);
  });

  test('the Services have the ports of the contract and select the proxies', () => {
    const ports = (name: string) => {
      const { spec } = find<KubeObject & { spec: { ports: { name: string; port: number }[]; selector: object } }>(
        objects,
        'Service',
        name,
      );
      expect(podOf(objects, 'proxy').metadata.labels).toMatchObject(spec.selector);
      return spec.ports.map((port) => [port.name, port.port]);
    };
    const door = [
      ['http', 8080],
      ['grpc', 9001],
    ];
    expect(ports('sluice-proxy')).toEqual(door);
    expect(ports('sluice-proxy-headless')).toEqual(door);
    expect(ports('sluice-proxy-admin')).toEqual([['admin', 9000]]);
    expect(find(objects, 'Service', 'sluice-proxy-headless')['spec']).toMatchObject({ clusterIP: 'None' });
  });

  test('two operators and two proxies run from the sources in the image', () => {
    expect(find<Deployment>(objects, 'Deployment', 'sluice-operator').spec.replicas).toBe(2);
    expect(find<Deployment>(objects, 'Deployment', 'sluice-proxy').spec.replicas).toBe(2);
    const operator = podOf(objects, 'operator').container;
    const proxy = podOf(objects, 'proxy').container;
    expect([operator.command, operator.args]).toEqual([
      ['node', 'operator/main.ts'],
      ['--owner=sluice-root', '--proxy-service=sluice-proxy-admin'],
    ]);
    expect([proxy.command, proxy.args]).toEqual([
      ['node', 'proxy/main.ts'],
      ['--config-namespace=sluice', '--snapshot-dir=/var/run/sluice', '--drain-timeout=300s'],
    ]);
  });

  test.each(['operator', 'proxy'] as const)(
    'the %s is restricted, and asked for life and readiness at 9000',
    (component) => {
      const { metadata, spec, container } = podOf(objects, component);
      expect(spec['serviceAccountName']).toBe(`sluice-${component}`);
      expect(spec['securityContext']).toMatchObject({ runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } });
      expect(container['securityContext']).toEqual({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      });
      expect(container['livenessProbe']).toMatchObject({ httpGet: { path: '/livez', port: 'admin' } });
      expect(container['readinessProbe']).toMatchObject({ httpGet: { path: '/readyz', port: 'admin' } });
      expect(container['ports']).toContainEqual({ name: 'admin', containerPort: 9000 });
      expect(metadata.labels['app.kubernetes.io/component']).toBe(component);
      expect(metadata.annotations).toMatchObject({ 'prometheus.io/scrape': 'true', 'prometheus.io/port': '9000' });
    },
  );

  test('the last good documents, which hold credentials, stay in memory', () => {
    expect(podOf(objects, 'proxy').spec.volumes).toEqual([{ name: 'snapshot', emptyDir: { medium: 'Memory' } }]);
  });

  test('a proxy takes calls until no node sends it any, and has its drain and more before it is killed', () => {
    const { spec, container } = podOf(objects, 'proxy');
    expect(container['lifecycle']).toEqual({ preStop: { sleep: { seconds: 5 } } });
    expect(spec['terminationGracePeriodSeconds']).toBe(330);
  });
});

describe('values', () => {
  test('proxy.enabled=false leaves nothing of a proxy and tells the operator so', async () => {
    const objects = await renderChart({ proxy: { enabled: false } });
    expect(names(objects).filter((name) => name.includes('proxy'))).toEqual([]);
    expect(podOf(objects, 'operator').container.args).toContain('--proxy-service=');
  });

  test('namespace lists become flags of the operator', async () => {
    const objects = await renderChart({
      watchNamespaces: ['ml', 'search'],
      sidecarNamespaces: ['ml'],
      globalNamesFrom: ['ml'],
    });
    expect(podOf(objects, 'operator').container.args).toEqual(
      expect.arrayContaining(['--watch-namespaces=ml,search', '--sidecar-namespaces=ml', '--global-names-from=ml']),
    );
  });

  test('the tag is the appVersion, unless told; a digest wins over both', async () => {
    const image = async (values: object) => podOf(await renderChart({ image: values }), 'proxy').container.image;
    expect(await image({})).toBe('sluice:0.1.0');
    expect(await image({ repository: 'registry.example.com/sluice', tag: 'v9' })).toBe(
      'registry.example.com/sluice:v9',
    );
    const digest = `sha256:${'a'.repeat(64)}`;
    expect(await image({ tag: 'v9', digest })).toBe(`sluice@${digest}`);
  });

  test.each(['operator', 'proxy'] as const)(
    'what a workload may be given reaches the pod of the %s',
    async (component) => {
      const given = {
        replicas: 3,
        resources: { limits: { memory: '2Gi' } },
        extraArgs: ['--log-level=debug'],
        extraEnv: [{ name: 'A', value: 'b' }],
        podLabels: { team: 'ml' },
        podAnnotations: { note: 'x', 'prometheus.io/scrape': 'false' },
        nodeSelector: { disk: 'ssd' },
        tolerations: [{ key: 'gpu', operator: 'Exists' }],
        affinity: { nodeAffinity: {} },
        priorityClassName: 'high',
      };
      const objects = await renderChart({ [component]: given });
      const { metadata, spec, container } = podOf(objects, component);
      expect(find<Deployment>(objects, 'Deployment', `sluice-${component}`).spec.replicas).toBe(3);
      expect(container['resources']).toMatchObject(given.resources);
      expect(container.args).toContain('--log-level=debug');
      expect(container['env']).toContainEqual({ name: 'A', value: 'b' });
      expect(metadata.labels['team']).toBe('ml');
      expect(metadata.annotations).toMatchObject(given.podAnnotations);
      const { nodeSelector, tolerations, affinity, priorityClassName } = given;
      expect(spec).toMatchObject({ nodeSelector, tolerations, affinity, priorityClassName });
    },
  );

  test('metrics.annotations=false leaves the pods without annotations', async () => {
    const objects = await renderChart({ metrics: { annotations: false } });
    expect(podOf(objects, 'proxy').metadata.annotations).toBeUndefined();
  });

  test('the release name is the prefix of every name, and the flags follow', async () => {
    const objects = await renderChart({}, { release: 'door', namespace: 'edge' });
    for (const name of names(objects)) expect(name).toMatch(/\/(door|edge-door)-/);
    for (const object of objects) expect(object.metadata.namespace ?? 'edge').toBe('edge');
    expect(find<Deployment>(objects, 'Deployment', 'door-operator').spec.template.spec.containers[0].args).toEqual([
      '--owner=door-root',
      '--proxy-service=door-proxy-admin',
    ]);
  });

  test.each([
    ['a name that is misspelt', { proxy: { replica: 3 } }, /replica/],
    ['a value of the wrong type', { proxy: { replicas: 'two' } }, /replicas/],
    ['a namespace that cannot be', { watchNamespaces: ['Not_One'] }, /watchNamespaces/],
  ])('%s is refused by name', async (_, values, message) => {
    await expect(renderChart(values)).rejects.toThrow(message);
  });

  test('a cluster older than its CRDs need is refused', async () => {
    const old = { flags: ['--kube-version', '1.29.4'] };
    await expect(renderChart({}, old)).rejects.toThrow(/kubeVersion/);
    await expect(renderChart({}, { flags: ['--kube-version', '1.30.2-gke.1'] })).resolves.toBeDefined();
  });
});

describe('CRDs', () => {
  const files = readdirSync('crds').filter((file) => file.endsWith('.yaml'));
  const crds = (objects: readonly KubeObject[]) =>
    objects.filter((object) => object.kind === 'CustomResourceDefinition');

  test('those of crds/ are installed, number by number, and kept on uninstall', async () => {
    const rendered = crds(await renderChart());
    expect(rendered.map((crd) => crd.metadata.name).sort()).toEqual([
      'embeddinginstances.sluice.dev',
      'llmpools.sluice.dev',
    ]);
    for (const crd of rendered) {
      const source = files
        .map((file) => parse(readFileSync(`crds/${file}`, 'utf8')) as KubeObject)
        .find((object) => object.metadata.name === crd.metadata.name);
      const { 'helm.sh/resource-policy': policy, ...annotations } = { ...crd.metadata.annotations };
      expect(policy).toBe('keep');
      expect({ ...crd, metadata: { ...crd.metadata, annotations } }).toEqual({
        ...source,
        metadata: { ...source?.metadata, annotations: { ...source?.metadata.annotations } },
      });
    }
  });

  test('crds.keep=false lets them go with the release, crds.install=false leaves them out', async () => {
    for (const crd of crds(await renderChart({ crds: { keep: false } }))) {
      expect(crd.metadata.annotations?.['helm.sh/resource-policy']).toBeUndefined();
    }
    expect(crds(await renderChart({ crds: { install: false } }))).toEqual([]);
  });
});
