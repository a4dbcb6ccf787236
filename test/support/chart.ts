import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { parseAllDocuments } from 'yaml';
import type { KubeObject } from '../../kube/object.ts';
import { asset } from './assets.ts';

const run = promisify(execFile);

/**
 * The objects of charts/sluice as `helm template` writes them, in the order in which Helm makes them: release `sluice`
 * in the namespace `sluice`, unless told otherwise. Throws with Helm's words.
 */
export async function renderChart(
  values: object = {},
  { release = 'sluice', namespace = 'sluice', flags = [] as readonly string[] } = {},
): Promise<KubeObject[]> {
  // Values as JSON on one flag each: no file, and lists and maps replace as they do in a values file.
  const set = Object.entries(values).flatMap(([name, value]) => ['--set-json', `${name}=${JSON.stringify(value)}`]);
  const args = ['template', release, 'charts/sluice', '--namespace', namespace, ...set, ...flags];
  const { stdout } = await run(asset('helm'), args, { maxBuffer: 64 * 1024 * 1024 });
  return parseAllDocuments(stdout)
    .map((document) => document.toJS() as KubeObject | null)
    .filter((object) => object !== null);
}
