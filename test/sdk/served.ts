import { createHash } from 'node:crypto';
import { backend, type Door, fakes, openDoor, pool } from '../proxy/http/door.ts';
import type { FakeLlm } from '../support/fake-llm.ts';
import { openNode } from './openai-calls.ts';
import { startPython } from './python.ts';
import type { CallName } from './sdk.ts';

/** For `describe.each`: both SDKs, and the names that only one of them has for an error. */
export const OPENAI_SDKS = [
  {
    ...{ language: 'Node', start: openNode },
    ...{ timeoutClass: 'APIConnectionTimeoutError', statusClass: 'APIError', cutBodyClass: 'TypeError' },
  },
  {
    ...{ language: 'Python', start: () => startPython<CallName>('openai_calls.py') },
    ...{ timeoutClass: 'APITimeoutError', statusClass: 'APIStatusError', cutBodyClass: 'APIConnectionError' },
  },
];

export interface Served {
  readonly gpu: FakeLlm;
  readonly door: Door;
  /** The base URL that an application is given. */
  readonly url: string;
}

/** A pool `chat` of the server `gpu`, with these fields besides; ends with the test. */
export async function served({ ofPool = {}, ofBackend = {} } = {}): Promise<Served> {
  const [gpu] = await fakes('gpu');
  const door = await openDoor();
  await door.put(pool('chat', [backend(gpu, ofBackend)], ofPool));
  return { gpu, door, url: `${door.url}/v1` };
}

/** The body of a call to it, counted from the last where negative. */
export function bodyOf(llm: FakeLlm, call = -1): string {
  return String(llm.calls.at(call)?.body);
}

/** Lower-case hex. */
export function sha256Of(bytes: string | Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
