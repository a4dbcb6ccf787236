import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { temporaryFolder } from '../support/reaper.ts';

/** From which file what may be imported, and what may not: one line for each arrow of the picture. */
const ALLOWED: [from: string, specifier: string][] = [
  ['program/log.ts', 'pino'],
  ['crds/llm-pool.ts', 'zod'],
  ['crds/llm-pool.ts', './rule.ts'],
  ['crds/generate.ts', 'yaml'],
  ['kube/client.ts', '@kubernetes/client-node'],
  ['kube/client.ts', 'undici'],
  ['kube/reflector.ts', '../program/log.ts'],
  ['operator/controller.ts', '../crds/llm-pool.ts'],
  ['operator/controller.ts', '../kube/reflector.ts'],
  ['operator/controller.ts', '../program/log.ts'],
  ['operator/controller.ts', '../proxy/config/schema.ts'],
  ['operator/controller.ts', './translate/translate.ts'],
  ['operator/translate/pool.ts', '../../crds/llm-pool.ts'],
  ['operator/translate/pool.ts', '../../kube/object.ts'],
  ['operator/translate/pool.ts', '../../proxy/config/schema.ts'],
  ['operator/translate/pool.ts', '../../proxy/config/encode.ts'],
  ['operator/translate/pool.ts', '../../proxy/config/upstream-address.ts'],
  ['proxy/http/handle.ts', '../snapshot.ts'],
  ['proxy/http/handle.ts', '../../program/log.ts'],
  ['proxy/http/handle.ts', 'undici'],
  ['proxy/admin.ts', 'fastify'],
  ['proxy/config/api.ts', '../../kube/reflector.ts'],
  ['proxy/run.ts', '../kube/client.ts'],
  ['proxy/config/schema.ts', 'zod'],
  ['proxy/config/encode.ts', 'node:crypto'],
  ['standalone/main.ts', '../operator/translate/translate.ts'],
  ['standalone/main.ts', '../proxy/pool.ts'],
  ['standalone/main.ts', '../crds/llm-pool.ts'],
  ['standalone/main.ts', '../program/log.ts'],
  ['test/operator/controller.test.ts', '../../operator/controller.ts'],
];
const FORBIDDEN: [from: string, specifier: string][] = [
  ...['crds/x.ts', 'kube/x.ts', 'operator/x.ts', 'proxy/x.ts', 'standalone/x.ts'].map((target): [string, string] => [
    'program/log.ts',
    `../${target}`,
  ]),
  ['program/log.ts', 'fastify'],
  ...['kube/x.ts', 'operator/x.ts', 'program/x.ts', 'proxy/config/schema.ts', 'standalone/x.ts'].map(
    (target): [string, string] => ['crds/llm-pool.ts', `../${target}`],
  ),
  ['crds/llm-pool.ts', 'fastify'],
  ...['crds/x.ts', 'operator/x.ts', 'proxy/config/schema.ts', 'standalone/x.ts'].map((target): [string, string] => [
    'kube/client.ts',
    `../${target}`,
  ]),
  ['kube/client.ts', 'zod'],
  ['operator/controller.ts', '../proxy/pool.ts'],
  ['operator/controller.ts', '../proxy/compile.ts'],
  ['proxy/config/documents.ts', '../pool.ts'],
  ['proxy/config/documents.ts', '../balance/choose.ts'],
  ['operator/controller.ts', '../standalone/main.ts'],
  ['operator/controller.ts', '@kubernetes/client-node'],
  ['operator/translate/pool.ts', '../../kube/client.ts'],
  ['operator/translate/pool.ts', '../../program/log.ts'],
  ['operator/translate/pool.ts', '../../proxy/pool.ts'],
  ['operator/translate/pool.ts', 'node:fs'],
  ['operator/translate/pool.ts', 'undici'],
  ['proxy/http/handle.ts', '../../kube/client.ts'],
  ['proxy/http/handle.ts', '../../crds/llm-pool.ts'],
  ['proxy/http/handle.ts', '../../operator/translate/translate.ts'],
  ['proxy/http/handle.ts', '../../standalone/main.ts'],
  ['proxy/run.ts', '../kube/reflector.ts'],
  ['proxy/run.ts', '@kubernetes/client-node'],
  ['proxy/pool.ts', '@kubernetes/client-node'],
  ['proxy/config/api.ts', '../../operator/translate/translate.ts'],
  ['proxy/config/api.ts', '../../crds/llm-pool.ts'],
  ['proxy/config/api.ts', '@kubernetes/client-node'],
  ['proxy/config/schema.ts', './parse.ts'],
  ['proxy/config/schema.ts', '../pool.ts'],
  ['proxy/config/encode.ts', 'undici'],
  ['proxy/config/upstream-address.ts', './schema.ts'],
  ['standalone/main.ts', '../operator/controller.ts'],
  ['standalone/main.ts', '../kube/client.ts'],
  ['standalone/main.ts', '@kubernetes/client-node'],
  ['examples/demo/run.ts', '../../operator/controller.ts'],
  ['examples/demo/run.ts', '@kubernetes/client-node'],
  ['operator/controller.ts', '../test/support/ports.ts'],
  ['proxy/pool.ts', '../test/support/ports.ts'],
];

/** Each way to import: the static one, types only, on demand, and passing it on; one line each. */
const FORMS: ((specifier: string) => string)[] = [
  (specifier) => `import { a } from '${specifier}';`,
  (specifier) => `import type { A } from '${specifier}';`,
  (specifier) => `export const load = () => import('${specifier}');`,
  (specifier) => `export { a } from '${specifier}';`,
];

const ENVIRONMENT = 'export const env = process.env;';
const folder = temporaryFolder('sluice-imports');
const lines = new Map<string, string[]>();
let faults: ReadonlySet<string>;

/** Puts a line into that file of the folder, and gives the place where its fault would be. */
function place(file: string, line: string): string {
  const text = lines.get(file) ?? [];
  lines.set(file, [...text, line]);
  return `${file}:${text.length + 1}`;
}

/** The places that the project's own settings find fault with, all in one run of the linter. */
function lint(): ReadonlySet<string> {
  copyFileSync('biome.json', join(folder, 'biome.json'));
  for (const [file, text] of lines) {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    writeFileSync(join(folder, file), `${text.join('\n')}\n`);
  }
  const options = ['--vcs-enabled=false', '--reporter=json', '--max-diagnostics=none'];
  const biome = join(process.cwd(), 'node_modules/.bin/biome');
  const { stdout } = spawnSync(biome, ['lint', ...options], { cwd: folder, encoding: 'utf8' });
  const { diagnostics } = JSON.parse(stdout) as {
    diagnostics: { category: string; location: { path: string; start: { line: number } } }[];
  };
  const ours = diagnostics.filter(({ category }) => /noRestrictedImports|noProcessEnv/.test(category));
  return new Set(ours.map(({ location }) => `${location.path}:${location.start.line}`));
}

const placed = (pairs: [string, string][]) =>
  pairs.map(([from, specifier]) => ({ from, specifier, places: FORMS.map((form) => place(from, form(specifier))) }));
const allowed = placed(ALLOWED);
const forbidden = placed(FORBIDDEN);
const withoutEnvironment = [
  'proxy/pool.ts',
  'operator/store.ts',
  'kube/client.ts',
  'standalone/load.ts',
  'crds/llm-pool.ts',
];
const withEnvironment = [
  'proxy/main.ts',
  'operator/main.ts',
  'standalone/main.ts',
  'program/start.ts',
  'test/x.test.ts',
];
const refused = withoutEnvironment.map((file) => ({ file, place: place(file, ENVIRONMENT) }));
const taken = withEnvironment.map((file) => ({ file, place: place(file, ENVIRONMENT) }));

beforeAll(() => {
  faults = lint();
});

test.each(allowed)('$from may import $specifier', ({ places }) => {
  expect(places.filter((at) => faults.has(at))).toEqual([]);
});

test.each(forbidden)('$from may not import $specifier', ({ places }) => {
  expect(places.filter((at) => !faults.has(at))).toEqual([]);
});

test.each(refused)('$file may not read the environment', ({ place: at }) => {
  expect(faults.has(at)).toBe(true);
});

test.each(taken)('$file may read the environment', ({ place: at }) => {
  expect(faults.has(at)).toBe(false);
});
