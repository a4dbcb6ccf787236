import { createRequire } from 'node:module';
import type * as Undici from 'undici';

/**
 * The dispatcher of undici without the rest of it (fetch, WebSocket, caches, mocks): half of its 30 MB of resident
 * memory, in each process. The files, and the one assignment, are those of undici's own index; its version is pinned.
 */
const load = createRequire(import.meta.url);

const Dispatcher = load('undici/lib/dispatcher/dispatcher.js') as typeof Undici.Dispatcher;
Object.assign(Dispatcher.prototype, load('undici/lib/api/index.js'));

export const Agent = load('undici/lib/dispatcher/agent.js') as typeof Undici.Agent;
