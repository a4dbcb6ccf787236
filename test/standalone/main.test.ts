// biome-ignore-all lint/suspicious/noTemplateCurlyInString: variables in files, not template strings, are what is tested
import { spawn } from 'node:child_process';
import { rm, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { type FakeLlm, startFakeLlm } from '../support/fake-llm.ts';
import { type ServingProgram, startStandalone } from '../support/program.ts';
import { temporaryFolder } from '../support/reaper.ts';

const WITHIN = { timeoutMs: 1_500 };
let one: FakeLlm;
let two: FakeLlm;
let dir: string;
let running: ServingProgram | undefined;

beforeAll(async () => {
  [one, two] = await Promise.all([startFakeLlm({ name: 'one' }), startFakeLlm({ name: 'two' })]);
});
afterAll(() => Promise.all([one?.stop(), two?.stop()]));
beforeEach(() => {
  dir = temporaryFolder('sluice-standalone');
});
afterEach(async () => {
  expect(await running?.stop()).toBe(running === undefined ? undefined : 0);
  running = undefined;
  await rm(dir, { recursive: true, force: true });
});

const write = (name: string, text: string) => writeFile(join(dir, name), text);

function pool(name: string, llm: FakeLlm, more = ''): string {
  return `apiVersion: sluice.dev/v1alpha1
kind: LLMPool
metadata: {name: ${name}, namespace: ml}
spec:
  backends:
  - name: main
    url: ${llm.url}/v1
${more}`;
}

const AUTH = '    auth: {secretKeyRef: {name: provider, key: api-key}}\n';
const secret = (key: string) =>
  `apiVersion: v1\nkind: Secret\nmetadata: {name: provider, namespace: ml}\nstringData:\n  api-key: ${key}\n`;

/** Who answers a call for the model, or the status of a refusal. */
async function ask(model: string): Promise<string | number> {
  const calls = [one.calls.length, two.calls.length];
  const response = await fetch(`${running?.httpUrl}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: 'Bearer of-the-client' },
    body: JSON.stringify({ model, messages: [{ role: 'user', content: 'hi' }] }),
  });
  await response.text();
  if (!response.ok) return response.status;
  return one.calls.length > (calls[0] ?? 0) ? 'one' : 'two';
}

const becomes = (model: string, expected: string | number) =>
  eventually(`${model} is ${expected}`, async () => (await ask(model)) === expected, WITHIN);

interface Report {
  readonly name: string;
  readonly state: string;
  readonly message: string;
}

async function reports(): Promise<Report[]> {
  const response = await fetch(`${running?.adminUrl}/config`);
  return ((await response.json()) as { documents: Report[] }).documents;
}

describe('serving', () => {
  test('[V-2] a pool of one server serves, and a second server is added without a word to callers', async () => {
    await write('a.yaml', pool('a', one));
    running = await startStandalone([dir]);
    expect(await ask('a')).toBe('one');
    await write('a.yaml', pool('a', one, `  - name: second\n    url: ${two.url}/v1\n`));
    await becomes('a', 'two');
    await becomes('a', 'one');
  });

  test('[M-9] the key of each provider comes from the environment, and the one of the client goes nowhere', async () => {
    await write('a.yaml', `${pool('a', one, AUTH)}---\n${secret('${ENV_PREFIX_API_KEY}')}`);
    running = await startStandalone([dir], { env: { ENV_PREFIX_API_KEY: '0123' } });
    expect(await ask('a')).toBe('one');
    expect(one.calls.at(-1)?.headers.authorization).toBe('Bearer 0123');
  });

  test('edits, new files and deleted files are followed within a second', async () => {
    await write('a.yaml', pool('a', one));
    running = await startStandalone([dir]);
    await write('a.yaml', pool('a', two));
    await becomes('a', 'two');
    await write('b.yaml', pool('b', one));
    await becomes('b', 'one');
    await unlink(join(dir, 'a.yaml'));
    await becomes('a', 404);
    expect(await ask('b')).toBe('one');
  });

  test('a new key in a Secret is used by the next calls', async () => {
    await write('a.yaml', pool('a', one, AUTH));
    await write('s.yaml', secret('first'));
    running = await startStandalone([dir]);
    expect(await ask('a')).toBe('one');
    await write('s.yaml', secret('second'));
    const isNew = async () => {
      expect(await ask('a')).toBe('one');
      return one.calls.at(-1)?.headers.authorization === 'Bearer second';
    };
    await eventually('the new key is used', isNew, WITHIN);
  });

  test.each([
    ['empty', () => ''],
    ['no YAML', () => 'a: ['],
    ['a CR with an unknown field', () => pool('a', two, '    nonsense: 1\n')],
    ['a CR with a variable that is not set', () => pool('a', two, '    model: ${NOPE}\n')],
    ['a CR that is not accepted', () => pool('a', { url: 'http://2852039166' } as FakeLlm)],
  ])('a file that is %s serves what it last said, and is reported; other files are followed', async (_, text) => {
    await write('a.yaml', pool('a', one));
    await write('b.yaml', pool('b', one));
    running = await startStandalone([dir]);
    await write('a.yaml', text());
    await write('b.yaml', pool('b', two));
    await becomes('b', 'two');
    expect(await ask('a')).toBe('one');
    const { log } = running;
    await eventually('it is reported', () => log.find(({ msg }) => String(msg).includes(' refused; ')), WITHIN);
    await write('a.yaml', pool('a', two));
    await becomes('a', 'two');
    await eventually(
      'nothing is refused',
      async () => (await reports()).every(({ state }) => state === 'loaded'),
      WITHIN,
    );
  });

  test('what is refused is on /config with its reason, beside what is served', async () => {
    await write('a.yaml', pool('a', one));
    running = await startStandalone([dir]);
    await write('a.yaml', pool('a', one, '    weight: -1\n'));
    const refused = await eventually(
      'it is refused',
      async () => (await reports()).find(({ state }) => state === 'rejected'),
      WITHIN,
    );
    expect(refused.name).toBe('a');
    expect(refused.message).toContain('spec.backends[0].weight');
  });

  test('of two CRs that ask for one name the first by namespace and name has it; the other serves as namespace/name', async () => {
    const models = '  models: [chat]\n';
    await write('z.yaml', pool('a', one).replace('spec:\n', `spec:\n${models}`));
    await write('a.yaml', pool('b', two).replace('spec:\n', `spec:\n${models}`));
    running = await startStandalone([dir]);
    expect([await ask('chat'), await ask('ml/a'), await ask('ml/b')]).toEqual(['one', 'one', 'two']);
  });

  test('several folders are one set of files', async () => {
    const other = temporaryFolder('sluice-standalone');
    await write('a.yaml', pool('a', one));
    await writeFile(join(other, 'a.yaml'), pool('b', two));
    running = await startStandalone([dir, other]);
    expect([await ask('a'), await ask('b')]).toEqual(['one', 'two']);
  });

  test('an embedding server is called by its name', async () => {
    const instance = `apiVersion: sluice.dev/v1alpha1
kind: EmbeddingInstance
metadata: {name: words}
spec: {protocol: HTTP, url: "${one.url}"}
`;
    await write('a.yaml', instance);
    running = await startStandalone([dir]);
    const response = await fetch(`${running.httpUrl}/v1/embeddings`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'words', input: 'hi' }),
    });
    expect([response.status, one.calls.at(-1)?.path]).toEqual([200, '/v1/embeddings']);
  });

  test('an empty folder is ready, and serves nothing', async () => {
    running = await startStandalone([dir]);
    expect(await ask('a')).toBe(404);
  });
});

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function run(...args: string[]): Promise<Ended> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ['standalone/main.ts', ...args], { env: {} });
    const ended = { stdout: '', stderr: '' };
    child.stdout.on('data', (chunk: Buffer) => {
      ended.stdout += chunk.toString();
    });
    child.stderr.on('data', (chunk: Buffer) => {
      ended.stderr += chunk.toString();
    });
    child.once('close', (code) => resolve({ code, ...ended }));
  });
}

describe('--check', () => {
  test('prints the conditions of each resource, and exits 0 where none is refused', async () => {
    await write('a.yaml', `${pool('a', one, AUTH)}---\n${secret('k')}`);
    const { code, stdout, stderr } = await run('--check', dir);
    expect(stdout).toMatch(/^LLMPool\/ml\/a\n {2}Accepted +True +Accepted/);
    for (const condition of ['NamesClaimed', 'ResolvedRefs']) expect(stdout).toMatch(new RegExp(`${condition} +True`));
    expect([code, stderr]).toEqual([0, '']);
  });

  test('a Secret that is missing refuses nothing, and is said', async () => {
    await write('a.yaml', pool('a', one, AUTH));
    const { code, stdout } = await run('--check', dir);
    expect(stdout).toMatch(/ResolvedRefs +False +SecretNotFound .*provider/);
    expect(code).toBe(0);
  });

  test.each([
    ['a CR is refused by its schema', pool('a', { url: 'ftp://x' } as FakeLlm), 'spec.backends[0].url: '],
    ['a file cannot be parsed', 'a: [', 'cannot be parsed: line 1: '],
    [
      'a variable is not set',
      pool('a', { url: 'http://${NOPE}' } as FakeLlm),
      'spec.backends[0].url: the variable NOPE',
    ],
  ])('exits 1 where %s, and names file and field', async (_, text, message) => {
    await write('a.yaml', text);
    const { code, stdout } = await run('--check', dir);
    expect(stdout).toContain(`  ${join(dir, 'a.yaml')}: `);
    expect(stdout).toContain(message);
    expect(code).toBe(1);
  });

  test('exits 1 where a CR is not accepted', async () => {
    await write('a.yaml', pool('a', { url: 'http://2852039166' } as FakeLlm));
    const { code, stdout } = await run('--check', dir);
    expect(stdout).toMatch(/Accepted +False +Invalid +.*169\.254\.169\.254 is a link-local/);
    expect(code).toBe(1);
  });

  test('names the files that only standalone can read', async () => {
    await write('a.yaml', pool('a', { url: 'http://${HOST:-localhost}:8000' } as FakeLlm));
    const { code, stdout } = await run('--check', dir);
    expect(stdout).toContain(
      `Only standalone can read these files; a cluster knows no variables:\n  ${join(dir, 'a.yaml')}`,
    );
    expect(code).toBe(0);
  });
});

describe('mistakes on the command line', () => {
  test.each([
    ['no folder', [], 'standalone: name at least one folder of *.yaml files; see --help\n'],
    ['a folder that is not there', ['/nowhere'], 'standalone: there is no folder /nowhere\n'],
    ['a file in place of a folder', ['package.json'], 'standalone: package.json is not a folder\n'],
    ['an unknown flag', ['--nope', '.'], 'standalone: unknown flag --nope; see --help\n'],
    ['an address that is none', ['--http-address=x', '.'], expect.stringMatching(/^standalone: --http-address: .*\n$/)],
  ])('%s: one line, exit 2', async (_, args, line) => {
    expect(await run(...args)).toEqual({ code: 2, stdout: '', stderr: line });
  });
});
