/** `nothing`: no client waits for it. `done`: the stream says that it is over. */
export type EventKind = 'nothing' | 'content' | 'error' | 'done';

/** By the name of an event, or by the `type` that its data says. What is not here is content. */
const KINDS: ReadonlyMap<unknown, EventKind> = new Map([
  ['ping', 'nothing'],
  ['response.created', 'nothing'],
  ['response.queued', 'nothing'],
  ['response.in_progress', 'nothing'],
  ['error', 'error'],
  ['response.failed', 'error'],
]);

/**
 * What an event is, before any with content came. `name` is empty where it has none, `data` undefined where it has no
 * data line. Data that are no JSON are content: who knows what the client reads.
 */
export function kindOfEvent(name: string, data: string | undefined): EventKind {
  const known = name === '' ? undefined : KINDS.get(name);
  if (known !== undefined) return known;
  if (data === undefined) return 'nothing';
  const text = data.trim();
  if (text === '[DONE]') return 'done';
  if (text === '') return name === '' ? 'nothing' : 'content';
  return kindOfValue(parsed(text));
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function kindOfValue(value: unknown): EventKind {
  if (!isObject(value)) return 'content';
  const { error, type, object, choices } = value;
  // Older vLLM says `"object":"error"` and has no `error`.
  if (!isNull(error) || object === 'error') return 'error';
  const known = KINDS.get(type);
  if (known !== undefined) return known;
  return Array.isArray(choices) && choices.every(isEmptyChoice) ? 'nothing' : 'content';
}

/** One that says who speaks, or nothing at all: of a chat's `delta`, of a completion's `text`. */
function isEmptyChoice(choice: unknown): boolean {
  if (!isObject(choice)) return false;
  const { finish_reason, text, delta } = choice;
  if (!isEmpty(finish_reason) || !isEmpty(text)) return false;
  return isObject(delta) ? hasOnlyRole(delta) : isEmpty(delta);
}

/** Reasoning, refusals, tool calls and audio are content as much as text is. */
function hasOnlyRole(delta: Record<string, unknown>): boolean {
  for (const key in delta) if (key !== 'role' && !isEmpty(delta[key])) return false;
  return true;
}

function isEmpty(value: unknown): boolean {
  return isNull(value) || value === '' || (Array.isArray(value) && value.length === 0);
}

function isNull(value: unknown): boolean {
  return value === undefined || value === null;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
