import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readYaml } from '../../standalone/yaml-file.ts';

const FOLDERS = ['examples', 'examples/local', 'examples/demo'];
const files = FOLDERS.flatMap((folder) =>
  readdirSync(folder)
    .filter((name) => name.endsWith('.yaml'))
    .map((name) => join(folder, name)),
);

test.each(files)('%s is what the schemas accept', (file) => {
  const { declared, problems, skipped } = readYaml(readFileSync(file, 'utf8'), {});
  expect(problems).toEqual([]);
  expect(skipped).toEqual([]);
  expect(declared.length).toBeGreaterThan(0);
  expect(declared.filter(({ faults }) => faults.length > 0)).toEqual([]);
});

test.each(files.filter((file) => !file.includes('/local/')))('%s may be applied to a cluster as it stands', (file) => {
  const text = readFileSync(file, 'utf8');
  expect(readYaml(text, {}).hasVariables).toBe(false);
  for (const document of text.split(/^---$/m)) {
    if (document.includes('kind: Secret')) expect(document).toContain('sluice.dev/credential: "true"');
  }
});
