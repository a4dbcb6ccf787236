import { fileURLToPath } from 'node:url';
import { loadPackageDefinition, type MethodDefinition, type ServiceClientConstructor } from '@grpc/grpc-js';
import { load } from '@grpc/proto-loader';
import { describe, expect, test } from 'vitest';

const includeDirs = [fileURLToPath(new URL('../../proto/', import.meta.url))];
const definition = await load(['tei_multiplexer/v1/multiplexer.proto', 'tei/v1/tei.proto'], {
  includeDirs,
  keepCase: true,
});

type Methods = Record<string, MethodDefinition<object, object>>;
type Kind = 'unary' | 'bidirectional' | 'many to one';

function methods(service: string): Methods {
  return definition[service] as unknown as Methods;
}

function kindOf(method: MethodDefinition<object, object>): Kind {
  if (!method.requestStream) return 'unary';
  return method.responseStream ? 'bidirectional' : 'many to one';
}

function kinds(service: string): Record<string, Kind> {
  return Object.fromEntries(Object.entries(methods(service)).map(([name, method]) => [name, kindOf(method)]));
}

interface MessageType {
  field: { name: string; number: number; typeName: string }[];
  oneofDecl: { name: string }[];
}

function messageType(message: string): MessageType {
  return (definition[message] as unknown as { type: MessageType }).type;
}

/** `name=number` of each field of a message, with a `?` where the wire tells absent from the default. */
function fields(message: string): string[] {
  const { field, oneofDecl } = messageType(message);
  // The loader's descriptor leaves proto3Optional out, but not the one-member oneof that stands for it.
  const optional = (name: string) => oneofDecl.some((decl) => decl.name === `_${name}`);
  return field.map(({ name, number }) => `${name}${optional(name) ? '?' : ''}=${number}`);
}

describe('tei_multiplexer.v1', () => {
  test('TeiMultiplexer has 17 methods: nine unary, seven bidirectional, RerankStream many to one', () => {
    expect(kinds('tei_multiplexer.v1.TeiMultiplexer')).toEqual({
      Info: 'unary',
      Embed: 'unary',
      EmbedStream: 'bidirectional',
      EmbedSparse: 'unary',
      EmbedSparseStream: 'bidirectional',
      EmbedAll: 'unary',
      EmbedAllStream: 'bidirectional',
      Predict: 'unary',
      PredictPair: 'unary',
      PredictStream: 'bidirectional',
      PredictPairStream: 'bidirectional',
      Rerank: 'unary',
      RerankStream: 'many to one',
      Tokenize: 'unary',
      TokenizeStream: 'bidirectional',
      Decode: 'unary',
      DecodeStream: 'bidirectional',
    });
  });

  test('a call goes to the path that TEI multiplexer clients use', () => {
    expect(methods('tei_multiplexer.v1.TeiMultiplexer').Embed?.path).toBe('/tei_multiplexer.v1.TeiMultiplexer/Embed');
  });

  test('Target names an instance, a model or an index', () => {
    expect(fields('tei_multiplexer.v1.Target')).toEqual(['instance_name=1', 'model_id=2', 'instance_index=3']);
  });

  test.each([
    'EmbedRequest',
    'EmbedSparseRequest',
    'EmbedAllRequest',
    'PredictRequest',
    'PredictPairRequest',
    'RerankRequest',
    'RerankStreamRequest',
    'EncodeRequest',
    'DecodeRequest',
  ])('%s is a target and the request of tei.v1 with the same name', (message) => {
    const { field } = messageType(`tei_multiplexer.v1.${message}`);
    expect(field.map(({ name, number, typeName }) => [name, number, typeName])).toEqual([
      ['target', 1, expect.stringContaining('Target')],
      ['request', 2, expect.stringMatching(new RegExp(`tei\\.v1\\.${message}$`))],
    ]);
  });

  test('an answer is the bytes of tei.v1, without a wrapper', () => {
    const wrapped = methods('tei_multiplexer.v1.TeiMultiplexer').Embed;
    const plain = methods('tei.v1.Embed').Embed;
    const answer = { embeddings: [0.5, 0.25], metadata: { compute_chars: 3 } };
    expect(wrapped?.responseSerialize(answer)).toEqual(plain?.responseSerialize(answer));
  });

  test('a target by instance name and the inner request stand in their fields on the wire', () => {
    const bytes = methods('tei_multiplexer.v1.TeiMultiplexer').Embed?.requestSerialize({
      target: { instance_name: 'a' },
      request: { inputs: 'b' },
    });
    expect(bytes?.toString('hex')).toBe('0a030a0161' + '12030a0162');
  });
});

describe('tei.v1', () => {
  test.each<[string, Record<string, Kind>]>([
    ['Info', { Info: 'unary' }],
    [
      'Embed',
      {
        Embed: 'unary',
        EmbedStream: 'bidirectional',
        EmbedSparse: 'unary',
        EmbedSparseStream: 'bidirectional',
        EmbedAll: 'unary',
        EmbedAllStream: 'bidirectional',
      },
    ],
    [
      'Predict',
      {
        Predict: 'unary',
        PredictPair: 'unary',
        PredictStream: 'bidirectional',
        PredictPairStream: 'bidirectional',
      },
    ],
    ['Rerank', { Rerank: 'unary', RerankStream: 'many to one' }],
    [
      'Tokenize',
      { Tokenize: 'unary', TokenizeStream: 'bidirectional', Decode: 'unary', DecodeStream: 'bidirectional' },
    ],
  ])('%s has the methods of text-embeddings-inference', (service, expected) => {
    expect(kinds(`tei.v1.${service}`)).toEqual(expected);
  });

  const embedLike = ['inputs=1', 'truncate=2', 'truncation_direction=3', 'prompt_name?=4'];
  const predictLike = ['inputs=1', 'truncate=2', 'raw_scores=3', 'truncation_direction=4'];
  test.each<[string, string[]]>([
    ['InfoRequest', []],
    [
      'InfoResponse',
      [
        'version=1',
        'sha?=2',
        'docker_label?=3',
        'model_id=4',
        'model_sha?=5',
        'model_dtype=6',
        'model_type=7',
        'max_concurrent_requests=8',
        'max_input_length=9',
        'max_batch_tokens=10',
        'max_batch_requests?=11',
        'max_client_batch_size=12',
        'tokenization_workers=13',
      ],
    ],
    [
      'Metadata',
      [
        'compute_chars=1',
        'compute_tokens=2',
        'total_time_ns=3',
        'tokenization_time_ns=4',
        'queue_time_ns=5',
        'inference_time_ns=6',
      ],
    ],
    [
      'EmbedRequest',
      ['inputs=1', 'truncate=2', 'normalize?=3', 'truncation_direction=4', 'prompt_name?=5', 'dimensions?=6'],
    ],
    ['EmbedResponse', ['embeddings=1', 'metadata=2']],
    ['EmbedSparseRequest', embedLike],
    ['EmbedAllRequest', embedLike],
    ['SparseValue', ['index=1', 'value=2']],
    ['EmbedSparseResponse', ['sparse_embeddings=1', 'metadata=2']],
    ['TokenEmbedding', ['embeddings=1']],
    ['EmbedAllResponse', ['token_embeddings=1', 'metadata=2']],
    ['PredictRequest', predictLike],
    ['PredictPairRequest', predictLike],
    ['Prediction', ['score=1', 'label=2']],
    ['PredictResponse', ['predictions=1', 'metadata=2']],
    ['RerankRequest', ['query=1', 'texts=2', 'truncate=3', 'raw_scores=4', 'return_text=5', 'truncation_direction=6']],
    [
      'RerankStreamRequest',
      ['query=1', 'text=2', 'truncate=3', 'raw_scores=4', 'return_text=5', 'truncation_direction=6'],
    ],
    ['Rank', ['index=1', 'text?=2', 'score=3']],
    ['RerankResponse', ['ranks=1', 'metadata=2']],
    ['EncodeRequest', ['inputs=1', 'add_special_tokens=2', 'prompt_name?=3']],
    ['SimpleToken', ['id=1', 'text=2', 'special=3', 'start?=4', 'stop?=5']],
    ['EncodeResponse', ['tokens=1']],
    ['DecodeRequest', ['ids=1', 'skip_special_tokens=2']],
    ['DecodeResponse', ['text=1']],
  ])('%s has the field numbers of text-embeddings-inference', (message, expected) => {
    expect(fields(`tei.v1.${message}`)).toEqual(expected);
  });

  test.each([
    ['ModelType', ['MODEL_TYPE_EMBEDDING', 'MODEL_TYPE_CLASSIFIER', 'MODEL_TYPE_RERANKER']],
    ['TruncationDirection', ['TRUNCATION_DIRECTION_RIGHT', 'TRUNCATION_DIRECTION_LEFT']],
  ])('%s counts from 0', (name, values) => {
    const { type } = definition[`tei.v1.${name}`] as unknown as { type: { value: { name: string; number: number }[] } };
    expect(type.value.map((value) => [value.name, value.number])).toEqual(values.map((value, at) => [value, at]));
  });

  test('grpc-js makes clients of it', () => {
    const loaded = loadPackageDefinition(definition) as unknown as {
      tei: { v1: { Embed: ServiceClientConstructor } };
    };
    expect(loaded.tei.v1.Embed.service.Embed?.path).toBe('/tei.v1.Embed/Embed');
  });
});
