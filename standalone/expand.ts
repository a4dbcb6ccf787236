/** What stands in `${…}` cannot be expanded; the message names the variable or what is wrong with the text. */
export class ExpandError extends Error {}

const OPEN = '${';
const ESCAPED = `$${OPEN}`;
const ESCAPE_HINT = `write "${ESCAPED}" for a plain "${OPEN}"`;

export type Env = Readonly<Record<string, string | undefined>>;

/**
 * Replaces `${VAR}` and `${VAR:-default}`. The default counts where VAR is unset or empty, may nest by balanced braces,
 * and is looked at only where it is used. `$${` is a plain `${`. Anything else stays as it is, `$VAR` too.
 * Throws ExpandError.
 */
export function expand(text: string, env: Env): string {
  let result = '';
  let at = 0;
  while (at < text.length) {
    if (text.startsWith(ESCAPED, at)) {
      result += OPEN;
      at += ESCAPED.length;
    } else if (text.startsWith(OPEN, at)) {
      const end = closingBrace(text, at + OPEN.length);
      result += substitute(text.slice(at + OPEN.length, end), env);
      at = end + 1;
    } else {
      result += text[at];
      at += 1;
    }
  }
  return result;
}

/** Whether a cluster would read this text otherwise than `expand` does. */
export function isExpandable(text: string): boolean {
  return text.includes(OPEN);
}

function closingBrace(text: string, from: number): number {
  let depth = 1;
  for (let at = from; at < text.length; at++) {
    if (text[at] === '{') depth += 1;
    if (text[at] === '}') depth -= 1;
    if (depth === 0) return at;
  }
  throw new ExpandError(`a "${OPEN}" has no "}" that closes it; ${ESCAPE_HINT}`);
}

function substitute(body: string, env: Env): string {
  const [, name, fallback] = /^\s*([A-Za-z_][A-Za-z0-9_]*)\s*(?::-(.*))?$/s.exec(body) ?? [];
  if (name === undefined) {
    throw new ExpandError(`what stands after "${OPEN}" is neither VAR nor VAR:-default; ${ESCAPE_HINT}`);
  }
  const value = env[name];
  if (value !== undefined && value !== '') return value;
  if (fallback !== undefined) return expand(fallback, env);
  if (value === undefined) throw new ExpandError(`the variable ${name} is not set, and there is no default`);
  return value;
}
