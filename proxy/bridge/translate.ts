import { echo, ProxyError } from '../errors.ts';
import { openAiWriter, readEmbedding, sparseJson, tokenEmbeddingsJson } from './embed-answer.ts';
import { embedCall, embeddingIn, embedOtherCall, openAiEmbeddingIn } from './embed-request.ts';
import { type Fields, fieldsOf, isAbsent, textIn, textOrNone, wrong } from './fields.ts';
import { healthCall, infoCall } from './info.ts';
import { predictCall } from './predict.ts';
import { floatsJson } from './read-message.ts';
import { rerankCall } from './rerank.ts';
import { listWriter, type TeiCall } from './tei-call.ts';
import { decodeCall, tokenizeCall } from './tokenize.ts';

/** `maxBatch`: inputs that the server takes in one message; undefined: nobody said. */
type Translate = (fields: Fields, maxBatch: number | undefined) => TeiCall;

/** What is posted to a server of TEI, by the end of its path. */
const POSTS: Readonly<Record<string, Translate>> = {
  '/v1/embeddings': openAiEmbeddings,
  '/embed': (fields) => embedCall(embeddingIn(fields), listWriter(embeddingJson), 'tei'),
  '/embed_sparse': (fields) => embedOtherCall('EmbedSparse', embeddingIn(fields), listWriter(sparseJson)),
  '/embed_all': (fields) => embedOtherCall('EmbedAll', embeddingIn(fields), listWriter(tokenEmbeddingsJson)),
  '/rerank': rerankCall,
  '/predict': predictCall,
  '/tokenize': tokenizeCall,
  '/decode': decodeCall,
};

const GETS: Readonly<Record<string, () => TeiCall>> = { '/info': infoCall, '/health': healthCall };

/** A call, and what its server's paths begin with. */
export interface Translated {
  readonly call: TeiCall;
  readonly basePath: string;
}

/**
 * A request to a server of TEI as the call of tei.v1 that says the same.
 * @throws ProxyError that names the field, where there is none.
 */
export function translate(
  method: string,
  target: string,
  body: Buffer | undefined,
  maxBatch: number | undefined,
): Translated {
  const path = target.split('?', 1)[0] as string;
  const operation = OPERATIONS.find((each) => path.endsWith(each));
  if (operation === undefined)
    throw new ProxyError('unknown_path', `An embedding instance does not serve ${echo(path)}`);
  const basePath = path.slice(0, -operation.length);
  const get = GETS[operation];
  const allow = get === undefined ? 'POST' : 'GET';
  if (method !== allow) {
    throw new ProxyError('method_not_allowed', `${echo(method)} is not allowed here; use ${allow}`, { allow });
  }
  if (get !== undefined) return { call: get(), basePath };
  if (body === undefined) {
    throw new ProxyError('unsupported_media_type', 'An instance that speaks gRPC is called with a body of JSON');
  }
  const post = POSTS[operation] as Translate;
  return { call: post(fieldsOf(body), maxBatch), basePath };
}

const OPERATIONS = [...Object.keys(POSTS), ...Object.keys(GETS)];

function openAiEmbeddings(fields: Fields): TeiCall {
  const format = textOrNone(fields, 'encoding_format') ?? 'float';
  if (format !== 'float' && format !== 'base64') throw wrong('encoding_format', "'float' or 'base64'");
  const model = isAbsent(fields.model) ? '' : textIn(fields, 'model');
  return embedCall(openAiEmbeddingIn(fields), openAiWriter(model, format === 'base64'), 'openai');
}

function embeddingJson(message: Buffer): string {
  return floatsJson(readEmbedding(message).floats);
}
