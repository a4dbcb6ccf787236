import type { Translation } from '../operator/translate/translation.ts';
import type { Log } from '../program/log.ts';
import { faultLine } from './check.ts';
import type { Gathered } from './gather.ts';
import type { Look } from './look.ts';

/** Says in the log what is wrong in the folders, each thing once, and when it is over. */
export function createSpeaker(log: Log) {
  let before: ReadonlyMap<string, () => void> = new Map();

  return (gathered: Gathered, translations: ReadonlyMap<string, Translation>, look: Look): void => {
    const now = new Map<string, () => void>();
    for (const [dir, reason] of look.unreadable) {
      now.set(`${dir} ${reason}`, () => log.error({ dir, reason }, 'folder cannot be read; what it held stays'));
    }
    for (const fault of gathered.faults) {
      const { file, key, message } = fault;
      now.set(faultLine(fault), () =>
        log.error({ file, resource: key, reason: message }, 'not taken as it stands; what was good before stays'),
      );
    }
    for (const [resource, { verdicts }] of translations) {
      for (const { type, status, reason, message } of verdicts) {
        if (status === 'True') continue;
        const say = () => log.warn({ resource, condition: type, reason }, message);
        now.set(`${resource} ${type} ${reason} ${message}`, say);
      }
    }
    for (const [what, say] of now) if (!before.has(what)) say();
    if (before.size > 0 && now.size === 0) log.info({}, 'nothing is wrong in the folders any more');
    before = now;
  };
}
