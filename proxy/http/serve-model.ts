import { presentedKey, usableWith } from '../admit/access.ts';
import { checkRequest } from '../bridge/check-request.ts';
import { echo, ProxyError } from '../errors.ts';
import { matchModel } from '../match.ts';
import type { Pool } from '../pool.ts';
import { withMaxBatch } from '../upstream/max-batch.ts';
import { admitRequest, conversationOf } from './admit-request.ts';
import { isSplittable, partOf, splitInput } from './batch.ts';
import { readBody } from './body.ts';
import type { Exchange } from './exchange.ts';
import type { Sent } from './forward.ts';
import type { Done, HttpDeps } from './handle.ts';
import { type BodyFacts, readFacts, replaceModel, type Span } from './json-body.ts';
import { modelInUrl } from './model-in-url.ts';
import { readMultipart } from './multipart-body.ts';
import type { Path } from './path.ts';
import { prefixKeyOf } from './prefix-key.ts';
import { replaceQueryModel } from './query.ts';
import { ALWAYS, send, sendParts } from './send.ts';

type OpenAiPath = Extract<Path, { kind: 'openai' }>;

/** A call whose JSON body names its model. */
export function serveJson(deps: HttpDeps, exchange: Exchange, path: OpenAiPath, done: Done): void {
  const withBody = (body: Buffer): void => {
    const facts = readFacts(body);
    const { state, pool, asked, path: pathThere } = poolOf(deps, exchange, facts.model, path, body);
    admitRequest(deps, exchange, state, pool, body.length, facts.maxTokens);
    const conversation = conversationOf(exchange, pool);
    // Written out: a spread here costs a call as much as its metrics do.
    const request: Sent = {
      state,
      asked,
      path: pathThere,
      query: path.query,
      queryFor: undefined,
      bodyFor: bodyWith(body, facts),
      isRepeatable: ALWAYS,
      conversation,
      prefixKey: pool.strategy === 'PrefixHash' ? (conversation ?? prefixKeyOf(body, facts, pool)) : undefined,
    };
    if (pool.instance === undefined || facts.prompt === undefined) send(deps, exchange, request, done);
    else sendInputs(deps, exchange, request, { pool, body, facts, input: facts.prompt }, done);
  };
  readBody(exchange, deps.limits, deps.held, withBody, done);
}

/** A multipart call; what follows its model streams through. */
export function serveMultipart(deps: HttpDeps, exchange: Exchange, path: OpenAiPath, done: Done): void {
  readMultipart(exchange, deps.limits, deps.held)
    .then((body) => {
      const { state, pool, ...to } = poolOf(deps, exchange, body.model, path);
      admitRequest(deps, exchange, state, pool, 0, undefined);
      const conversation = conversationOf(exchange, pool);
      const request = {
        ...{ ...to, state, conversation, prefixKey: conversation, query: path.query },
        ...{ bodyFor: body.as, isRepeatable: body.isRepeatable },
      };
      send(deps, exchange, request, done);
    })
    .catch(done);
}

/** A call without a body, whose URL names its model. */
export function serveBodiless(
  deps: HttpDeps,
  exchange: Exchange,
  path: Exclude<Path, { kind: 'instance' }>,
  done: Done,
): void {
  const model = modelInUrl(exchange.req.method ?? '', path);
  const { state, pool, ...to } = poolOf(deps, exchange, model, path);
  admitRequest(deps, exchange, state, pool, 0, undefined);
  const conversation = conversationOf(exchange, pool);
  const request = {
    ...{ ...to, state, conversation, prefixKey: conversation, query: path.query },
    queryFor: (renamed: string) => replaceQueryModel(path.query, renamed),
    ...{ bodyFor: () => undefined, isRepeatable: ALWAYS },
  };
  send(deps, exchange, request, done);
}

function bodyWith(body: Buffer, facts: BodyFacts): Sent['bodyFor'] {
  return (model) => (model === facts.model ? body : replaceModel(body, facts, model));
}

interface Inputs {
  readonly pool: Pool;
  readonly body: Buffer;
  readonly facts: BodyFacts;
  readonly input: Span;
}

/** More inputs than the instance's server takes at once go in parts. */
function sendInputs(deps: HttpDeps, exchange: Exchange, request: Sent, inputs: Inputs, done: Done): void {
  const { pool, body, input } = inputs;
  if (!isSplittable(body, input)) {
    send(deps, exchange, request, done);
    return;
  }
  withMaxBatch(pool, request.state, (size) => {
    // Who calls this may be a socket: nobody there would catch it.
    try {
      const parts = splitInput(body, input, size).map((run) => partWith(inputs, run));
      if (parts.length === 1) send(deps, exchange, request, done);
      else sendParts(deps, exchange, request, parts, done);
    } catch (error) {
      done(error);
    }
  });
}

function partWith({ body, facts, input }: Inputs, run: Span): Sent['bodyFor'] {
  return (model) => {
    const part = partOf(body, input, run);
    if (model === facts.model) return part;
    const moved = facts.start < input.start ? 0 : part.length - body.length;
    return replaceModel(part, { start: facts.start + moved, end: facts.end + moved }, model);
  };
}

interface Destination extends Pick<Sent, 'state' | 'asked' | 'path'> {
  readonly pool: Pool;
}

/**
 * Where a model leads, and the path to call there. An instance is a TEI server's root, not an OpenAI base. `body`: the whole
 * one, where it is JSON.
 */
function poolOf(
  deps: HttpDeps,
  exchange: Exchange,
  model: string,
  { rest }: { readonly rest: string },
  body?: Buffer,
): Destination {
  exchange.model = model;
  const mayUse = (pool: Pool): boolean => usableWith(presentedKey(exchange.req.rawHeaders))(pool);
  const match = matchModel(deps.snapshot(), model, mayUse);
  const pool = match?.state.current;
  if (match === undefined || pool === undefined) {
    const message = `The model ${echo(model)} does not exist; GET /v1/models lists those that do`;
    throw new ProxyError('model_not_found', message, { param: 'model' });
  }
  const { state, asked } = match;
  exchange.pool = state.key;
  exchange.series = state.series;
  if (pool.instance === undefined) return { state, pool, asked, path: rest };
  const path = instancePath(model, rest);
  checkRequest(pool, exchange.req.method ?? '', path, body);
  return { state, pool, asked, path };
}

/** TEI answers OpenAI's embeddings under /v1 and rerank at its root; an instance serves nothing else by model. */
function instancePath(model: string, rest: string): string {
  if (rest === '/embeddings') return '/v1/embeddings';
  if (rest === '/rerank') return '/rerank';
  throw new ProxyError(
    'unknown_path',
    `${echo(model)} is an embedding instance: it serves /v1/embeddings and /v1/rerank`,
  );
}
