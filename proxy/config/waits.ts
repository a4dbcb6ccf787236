import type { OwnerRecord } from './owners.ts';

/** Who waits for the values of their document, and since when too long. */
export interface Waits {
  /** `isWaiting`: as of now. The first time counts. */
  readonly follow: (record: OwnerRecord, isWaiting: boolean) => void;
  readonly isOverdue: (record: OwnerRecord) => boolean;
  /** Someone of whom nothing is served waits, and not yet too long. */
  readonly holdsBack: () => boolean;
  readonly close: () => void;
}

/** `overdue` is called once `limitMs` after a wait began, if it goes on. */
export function createWaits(limitMs: number, overdue: (record: OwnerRecord) => void): Waits {
  const waits = new Map<OwnerRecord, { readonly timer: NodeJS.Timeout; isOverdue: boolean }>();

  const begin = (record: OwnerRecord): void => {
    const timer = setTimeout(() => {
      waits.set(record, { timer, isOverdue: true });
      overdue(record);
    }, limitMs);
    waits.set(record, { timer, isOverdue: false });
  };

  return {
    follow: (record, isWaiting) => {
      const wait = waits.get(record);
      if (isWaiting && wait === undefined) begin(record);
      if (isWaiting) return;
      clearTimeout(wait?.timer);
      waits.delete(record);
    },
    isOverdue: (record) => waits.get(record)?.isOverdue ?? false,
    holdsBack: () => [...waits].some(([{ served }, { isOverdue }]) => served === undefined && !isOverdue),
    close: () => {
      for (const { timer } of waits.values()) clearTimeout(timer);
      waits.clear();
    },
  };
}
