import { attemptText, isoTime, MAX_LOGGED, msText } from '../http/access-log.ts';
import type { ClientCall } from './client-call.ts';
import { nameOf, type Status } from './codes.ts';
import { metadataValue } from './metadata.ts';
import type { Target } from './target.ts';

/** The one line of a call, as JSON: what a request over HTTP says, and `code` in place of a status. */
export function callLine(call: ClientCall, end: Status, newId: () => string, endedAt: number, nowMs: number): string {
  const { record, path, rawHeaders } = call;
  const id = metadataValue(rawHeaders, 'x-request-id').slice(0, MAX_LOGGED) || newId();
  let line =
    `{"level":"info","time":"${isoTime(nowMs)}","program":"proxy","msg":"request","id":${JSON.stringify(id)}` +
    `,"protocol":"grpc","path":${JSON.stringify(path.slice(0, MAX_LOGGED))},"code":"${nameOf(end.code)}"` +
    `,"ms":${msText(endedAt - record.startedAt)}`;
  if (record.target !== undefined) line += targetText(record.target);
  if (record.pool !== '') line += `,"pool":"${record.pool}"`;
  if (record.firstByteAt > 0) line += `,"firstByteMs":${msText(record.firstByteAt - record.startedAt)}`;
  if (record.queueMs > 0) line += `,"queueMs":${msText(record.queueMs)}`;
  if (record.trail.length > 0) line += `,"attempts":[${record.trail.map(attemptText).join(',')}]`;
  return `${line}}`;
}

function targetText(target: Target): string {
  if (target.by === 'index') return `,"index":${target.index}`;
  const [field, text] = target.by === 'name' ? ['instance', target.name] : ['model', target.model];
  return `,"${field}":${JSON.stringify(text.slice(0, MAX_LOGGED))}`;
}
