import type { Translation } from '../operator/translate/translation.ts';
import type { Log } from '../program/log.ts';
import type { Look } from './look.ts';

/**
 * Says in the log, each thing once, which folders cannot be read and which conditions of accepted resources are False.
 * What is refused the documents say themselves.
 */
export function createSpeaker(log: Log) {
  let before: ReadonlyMap<string, () => void> = new Map();

  return (translations: ReadonlyMap<string, Translation>, { unreadable }: Look): void => {
    const now = new Map<string, () => void>();
    for (const [dir, reason] of unreadable) {
      now.set(`${dir} ${reason}`, () => log.error({ dir, reason }, 'the folder cannot be read; what it held stays'));
    }
    for (const [resource, { verdicts }] of translations) {
      for (const { type, status, reason, message } of verdicts) {
        if (status === 'True' || type === 'Accepted') continue;
        const say = () => log.warn({ resource, condition: type, reason }, message);
        now.set(`${resource} ${type} ${reason} ${message}`, say);
      }
    }
    for (const [what, say] of now) if (!before.has(what)) say();
    if (before.size > 0 && now.size === 0) log.info({}, 'all folders can be read and all conditions are True');
    before = now;
  };
}
