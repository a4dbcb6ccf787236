/** `many-to-one` is a stream of requests with one answer for all of them. */
export type MethodKind = 'unary' | 'stream' | 'many-to-one';

export interface Method {
  readonly kind: MethodKind;
  /** In snake case, as metrics call it. */
  readonly label: string;
  /** Its path at an instance. */
  readonly upstreamPath: string;
  /** What a missing inner request is called; undefined where there is none to miss. Only of wrapped methods. */
  readonly requestName: string | undefined;
  /** Its messages are tei_multiplexer.v1's, with a target each. */
  readonly isWrapped: boolean;
}

/** Name, service of tei.v1, kind, and what a message without its request is told. */
const METHODS: readonly (readonly [string, string, MethodKind, string | undefined])[] = [
  ['Info', 'Info', 'unary', undefined],
  ['Embed', 'Embed', 'unary', 'embed'],
  ['EmbedStream', 'Embed', 'stream', 'embed'],
  ['EmbedSparse', 'Embed', 'unary', 'embed_sparse'],
  ['EmbedSparseStream', 'Embed', 'stream', 'embed_sparse'],
  ['EmbedAll', 'Embed', 'unary', 'embed_all'],
  ['EmbedAllStream', 'Embed', 'stream', 'embed_all'],
  ['Predict', 'Predict', 'unary', 'predict'],
  ['PredictPair', 'Predict', 'unary', 'predict_pair'],
  ['PredictStream', 'Predict', 'stream', 'predict'],
  ['PredictPairStream', 'Predict', 'stream', 'predict_pair'],
  ['Rerank', 'Rerank', 'unary', 'rerank'],
  ['RerankStream', 'Rerank', 'many-to-one', 'rerank'],
  ['Tokenize', 'Tokenize', 'unary', 'tokenize'],
  ['TokenizeStream', 'Tokenize', 'stream', 'tokenize'],
  ['Decode', 'Tokenize', 'unary', 'decode'],
  ['DecodeStream', 'Tokenize', 'stream', 'decode'],
];

/** By the path a client asks for: the 17 of TeiMultiplexer, and the same of tei.v1's own services. */
export const METHOD_BY_PATH: ReadonlyMap<string, Method> = new Map(
  METHODS.flatMap(([name, service, kind, requestName]): [string, Method][] => {
    const upstreamPath = `/tei.v1.${service}/${name}`;
    const label = name.replace(/(?<=[a-z])[A-Z]/g, '_$&').toLowerCase();
    const method = { kind, label, upstreamPath, requestName };
    return [
      [`/tei_multiplexer.v1.TeiMultiplexer/${name}`, { ...method, isWrapped: true }],
      [upstreamPath, { ...method, isWrapped: false }],
    ];
  }),
);
