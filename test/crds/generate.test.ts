import { execFile } from 'node:child_process';
import { appendFileSync, cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { KINDS } from '../../crds/definition.ts';
import { generated } from '../../crds/generate.ts';
import { type Node, structural } from '../../crds/structural.ts';

const root = join(import.meta.dirname, '../..');
const run = promisify(execFile);
let copy: string;
beforeAll(() => {
  copy = mkdtempSync(join(tmpdir(), 'sluice-crds-'));
  cpSync(join(root, 'crds'), join(copy, 'crds'), { recursive: true });
  cpSync(join(root, 'package.json'), join(copy, 'package.json'));
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
});
afterAll(() => rmSync(copy, { recursive: true, force: true }));

const generate = (...flags: string[]) => run(process.execPath, ['crds/generate.ts', ...flags], { cwd: copy });

test('the committed files are those the schemas give', () => {
  for (const [path, text] of generated()) expect(readFileSync(join(root, path), 'utf8'), path).toBe(text);
});

test('--check names the files that are stale or missing, and exits 1', async () => {
  await expect(generate('--check')).rejects.toMatchObject({ code: 1, stderr: expect.stringContaining('docs/api.md') });
  await generate();
  await expect(generate('--check')).resolves.toMatchObject({ stderr: '' });
  appendFileSync(join(copy, 'charts/sluice/files/crds/sluice.dev_llmpools.yaml'), '\n');
  const words = 'not up to date, run node crds/generate.ts: charts/sluice/files/crds/sluice.dev_llmpools.yaml\n';
  await expect(generate('--check')).rejects.toMatchObject({ code: 1, stderr: words });
});

test('the chart carries the same bytes', () => {
  const files = generated();
  for (const [path, text] of files) {
    if (path.startsWith('crds/')) expect(files.get(`charts/sluice/files/${path}`)).toBe(text);
  }
});

test('every field has a description', () => {
  const bare = KINDS.flatMap(({ kind, schema }) => undescribed(structural(schema), kind));
  expect(bare).toEqual([]);
});

function undescribed(node: Node, at: string): string[] {
  const properties = Object.entries((node['properties'] ?? {}) as Record<string, Node>);
  return properties
    .filter(([name]) => !['apiVersion', 'kind', 'metadata'].includes(name))
    .flatMap(([name, field]) => {
      const path = `${at}.${name}`;
      const items = field['items'] === undefined ? [] : undescribed(field['items'] as Node, `${path}[]`);
      return [...(field['description'] === undefined ? [path] : []), ...undescribed(field, path), ...items];
    });
}
