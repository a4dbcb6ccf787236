/**
 * The two limits that a request is under, its step's (no byte of the body, no first byte of an answer) and its own, on
 * one timer. Steps follow each other within a millisecond and nearly all end in time: the timer is left to run and
 * looks, when it fires, what is still due. So a request costs one timer, whatever its number of steps.
 */
export interface Alarm {
  timer: NodeJS.Timeout | undefined;
  timerAt: number;
  stepAt: number;
  onStep: (() => void) | undefined;
  endAt: number;
  onEnd: (() => void) | undefined;
}

export function createAlarm(): Alarm {
  return { timer: undefined, timerAt: 0, stepAt: 0, onStep: undefined, endAt: 0, onEnd: undefined };
}

/** Calls `late` after `ms` unless the step is over before, or set anew. 0: no limit. */
export function limitStep(alarm: Alarm, ms: number, late: () => void): void {
  if (ms === 0) {
    endStep(alarm);
    return;
  }
  alarm.stepAt = performance.now() + ms;
  alarm.onStep = late;
  arm(alarm, alarm.stepAt, ms);
}

export function endStep(alarm: Alarm): void {
  alarm.onStep = undefined;
}

/** Calls `late` after `ms` unless `endLimit` comes before. 0: no limit. */
export function limitWhole(alarm: Alarm, ms: number, late: () => void): void {
  if (ms === 0) return;
  alarm.endAt = performance.now() + ms;
  alarm.onEnd = late;
  arm(alarm, alarm.endAt, ms);
}

export function endWhole(alarm: Alarm): void {
  alarm.onEnd = undefined;
}

/** The request is over. */
export function stopAlarm(alarm: Alarm): void {
  clearTimeout(alarm.timer);
  alarm.timer = undefined;
  alarm.onStep = undefined;
  alarm.onEnd = undefined;
}

function arm(alarm: Alarm, at: number, ms: number): void {
  if (alarm.timer !== undefined && alarm.timerAt <= at) return;
  clearTimeout(alarm.timer);
  alarm.timerAt = at;
  alarm.timer = setTimeout(look, ms, alarm);
}

/** Timers may fire a fraction of a millisecond early. */
const EARLY_MS = 1;

function look(alarm: Alarm): void {
  alarm.timer = undefined;
  const now = performance.now() + EARLY_MS;
  const { onStep, onEnd, stepAt, endAt } = alarm;
  if (onStep !== undefined && stepAt <= now) {
    alarm.onStep = undefined;
    onStep();
  }
  if (onEnd !== undefined && alarm.onEnd === onEnd && endAt <= now) {
    alarm.onEnd = undefined;
    onEnd();
  }
  if (alarm.timer !== undefined) return;
  const nextAt = Math.min(
    alarm.onStep === undefined ? Number.POSITIVE_INFINITY : alarm.stepAt,
    alarm.onEnd === undefined ? Number.POSITIVE_INFINITY : alarm.endAt,
  );
  if (nextAt !== Number.POSITIVE_INFINITY) arm(alarm, nextAt, Math.max(1, nextAt - now + EARLY_MS));
}
