import { ProxyError } from '../errors.ts';
import { frameOf } from '../grpc/frames.ts';
import type { Cursor } from '../grpc/protobuf.ts';
import { malformed } from '../upstream/http1/client-error.ts';
import { computeTokensAt } from './embed-answer.ts';
import { countOrNone, type Fields, flagIn, isAbsent, isListOf, isText, textIn, wrong } from './fields.ts';
import { addTruncation, type Truncation, truncationIn } from './inputs.ts';
import { cursorOf, eachField, floatAt, messageAt, numberAt, textAt } from './read-message.ts';
import { type TeiCall, type Writer, wholeWriter } from './tei-call.ts';
import { addFlag, addOptionalText, addText, type Message } from './write-message.ts';

/** The query goes with each text where they do not go in one message: so much of it is too much. */
const MAX_REPEATED_BYTES = 32 * 1024 * 1024;

/**
 * To Rerank, or to RerankStream where that is more than the server takes in one message. A body with `documents` is
 * Cohere's and Jina's, and so is its answer; one with `texts` is TEI's.
 */
export function rerankCall(fields: Fields, maxBatch: number | undefined): TeiCall {
  const asked = isAbsent(fields.documents) ? textsIn(fields) : documentsIn(fields);
  const { texts, query } = asked;
  if (texts.length * query.length > MAX_REPEATED_BYTES) {
    const message = '`query` times its number of texts is too much for one request; send fewer at once';
    throw new ProxyError('request_too_large', message, { param: 'query' });
  }
  const isOne = texts.length === 1 || texts.length <= (maxBatch ?? 0);
  return {
    method: isOne ? '/tei.v1.Rerank/Rerank' : '/tei.v1.Rerank/RerankStream',
    messages: isOne ? 1 : texts.length,
    isOneToOne: false,
    frame: (index) => frameOf(...messageOf(asked, isOne ? texts : [texts[index] as string])),
    writer: asked.writer,
    errors: asked.errors,
  };
}

interface Asked extends Pick<TeiCall, 'writer' | 'errors'> {
  readonly query: string;
  readonly texts: readonly string[];
  readonly truncation: Truncation;
  readonly rawScores: boolean;
  readonly returnText: boolean;
}

function textsIn(fields: Fields): Asked {
  const { texts } = fields;
  if (!isListOf(texts, isText)) throw wrong('texts', 'a list of strings that is not empty');
  return {
    query: textIn(fields, 'query'),
    texts,
    truncation: truncationIn(fields),
    rawScores: flagIn(fields, 'raw_scores', false),
    returnText: flagIn(fields, 'return_text', false),
    writer: wholeWriter((message) => JSON.stringify(ranksIn(message, texts.length).ranks)),
    errors: 'tei',
  };
}

function documentsIn(fields: Fields): Asked {
  const { documents } = fields;
  if (!isListOf(documents, isDocument)) {
    throw wrong('documents', 'a list of strings, or of objects with a `text`, that is not empty');
  }
  const texts = documents.map((document) => (isText(document) ? document : document.text));
  const topN = countOrNone(fields, 'top_n') ?? texts.length;
  const returnsDocuments = flagIn(fields, 'return_documents', false);
  const model = isAbsent(fields.model) ? undefined : textIn(fields, 'model');
  return {
    query: textIn(fields, 'query'),
    texts,
    truncation: truncationIn(fields),
    rawScores: false,
    returnText: false,
    writer: documentsWriter({ model, texts, topN, returnsDocuments }),
    errors: 'openai',
  };
}

function isDocument(value: unknown): value is string | { readonly text: string } {
  return isText(value) || (typeof value === 'object' && value !== null && 'text' in value && isText(value.text));
}

interface Wanted {
  readonly model: string | undefined;
  readonly texts: readonly string[];
  readonly topN: number;
  readonly returnsDocuments: boolean;
}

function documentsWriter({ model, texts, topN, returnsDocuments }: Wanted): Writer {
  return wholeWriter((message) => {
    const { ranks, tokens } = ranksIn(message, texts.length);
    const results = ranks.slice(0, topN).map(({ index, score }) => ({
      index,
      relevance_score: score,
      ...(returnsDocuments && { document: { text: texts[index] } }),
    }));
    const usage = { prompt_tokens: tokens, total_tokens: tokens };
    return JSON.stringify({ object: 'list', model, results, usage });
  });
}

/** A RerankStreamRequest with one text is a RerankRequest with one. */
function messageOf({ query, truncation, rawScores, returnText }: Asked, texts: readonly string[]): Message {
  const message: Message = [];
  addText(message, 1, query);
  for (const text of texts) addOptionalText(message, 2, text);
  addTruncation(message, truncation, [3, 6]);
  addFlag(message, 4, rawScores);
  addFlag(message, 5, returnText);
  return message;
}

interface Rank {
  index: number;
  text?: string;
  score: number;
}

/** Of a RerankResponse, the best first. */
function ranksIn(message: Buffer, texts: number): { readonly ranks: readonly Rank[]; readonly tokens: number } {
  const cursor = cursorOf(message);
  const ranks: Rank[] = [];
  let tokens = 0;
  eachField(cursor, (field) => {
    if (field === 1) ranks.push(rankAt(cursor));
    else if (field === 2) tokens = computeTokensAt(cursor);
    else return false;
    return true;
  });
  const isWhole = ranks.length === texts && new Set(ranks.map(({ index }) => index)).size === texts;
  if (!isWhole || ranks.some(({ index }) => index >= texts)) throw malformed('it does not rank each text once');
  return { ranks: ranks.sort((a, b) => b.score - a.score), tokens };
}

function rankAt(all: Cursor): Rank {
  const cursor = messageAt(all);
  const rank: Rank = { index: 0, score: 0 };
  eachField(cursor, (field) => {
    if (field === 1) rank.index = numberAt(cursor);
    else if (field === 2) rank.text = textAt(cursor);
    else if (field === 3) rank.score = floatAt(cursor);
    else return false;
    return true;
  });
  return rank;
}
