import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { translate } from '../../../operator/translate/translate.ts';
import type { Translation } from '../../../operator/translate/translation.ts';
import { compilePool } from '../../../proxy/compile.ts';
import { InstanceDocument, PoolDocument } from '../../../proxy/config/schema.ts';
import { emptyPoolState } from './empty-pool-state.ts';
import { readInput } from './golden-input.ts';
import { plain, renderOutput } from './golden-output.ts';

const FOLDER = join(import.meta.dirname, 'cases');
const SEPARATOR = '# Output\n';
const HOW = 'the case says otherwise; read the difference, then: npx vitest run test/operator/translate -u';

const cases = readdirSync(FOLDER).filter((file) => file.endsWith('.yaml'));

describe.each(cases)('%s', (file) => {
  const path = join(FOLDER, file);
  const [input = ''] = readFileSync(path, 'utf8').split(SEPARATOR);
  const { resources, options } = readInput(input);
  const translations = translate(resources, options);
  const documents = [...translations.values()].filter(({ document }) => document !== undefined);

  test('gives what stands under its input', async () => {
    const output = renderOutput(translations, !file.startsWith('whole-'));
    await expect(`${input.trimEnd()}\n${SEPARATOR}${output}`, HOW).toMatchFileSnapshot(path);
  });

  test('gives documents that the contract reads back, member by member', () => {
    for (const { document } of documents) {
      if (document === undefined) continue;
      const schema = document.kind === 'LLMPool' ? PoolDocument : InstanceDocument;
      expect(schema.parse(plain(document))).toEqual(plain(document));
    }
  });

  test('gives documents that a proxy compiles', () => {
    for (const translation of documents) compile(translation);
  });
});

function compile({ owner, document, endpoints = [], credentials: held }: Translation): void {
  if (document === undefined) return;
  const state = emptyPoolState(`${owner.namespace}/${owner.name}`);
  const deps = { random: () => 0, lookup: () => undefined, refuseHost: () => undefined };
  const input = { owner, document, revision: '', endpoints, credentials: held?.values ?? {}, clients: held?.clients };
  const pool = compilePool(input, state, deps);
  if (document.access !== undefined)
    expect(pool.access?.clients?.size).toBe(held?.clients && Object.keys(held.clients).length);
  const compiled = pool.tiers.flatMap(({ backends }) => backends.map(({ name }) => name)).sort();
  const named = (document.kind === 'LLMPool' ? document.backends : [document.backend]).flatMap(
    (one) => one?.name ?? [],
  );
  expect(compiled).toEqual(named.sort());
}
