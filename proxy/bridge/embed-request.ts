import { frameOf } from '../grpc/frames.ts';
import { countOrNone, type Fields, flagIn, isAbsent, textOrNone, textsIn } from './fields.ts';
import { addTruncation, CUT_RIGHT, type Truncation, truncationIn } from './inputs.ts';
import type { TeiCall, Writer } from './tei-call.ts';
import { addNumber, addOptionalFlag, addOptionalText, addText, type Message } from './write-message.ts';

/** What an embedding is made of, whichever API asks for it. */
export interface Embedding {
  readonly inputs: readonly string[];
  readonly truncation: Truncation;
  readonly promptName: string | undefined;
  /** Undefined: as the server does it, which is true. */
  readonly normalize: boolean | undefined;
  readonly dimensions: number | undefined;
}

/** A body of TEI's REST. */
export function embeddingIn(fields: Fields): Embedding {
  return {
    inputs: textsIn(fields, 'inputs'),
    truncation: truncationIn(fields),
    promptName: textOrNone(fields, 'prompt_name'),
    normalize: isAbsent(fields.normalize) ? undefined : flagIn(fields, 'normalize', true),
    dimensions: countOrNone(fields, 'dimensions'),
  };
}

/** A body of OpenAI's API, which TEI cuts where it is too long. */
export function openAiEmbeddingIn(fields: Fields): Embedding {
  return {
    inputs: textsIn(fields, 'input'),
    truncation: CUT_RIGHT,
    promptName: undefined,
    normalize: undefined,
    dimensions: countOrNone(fields, 'dimensions'),
  };
}

/** To Embed; several inputs to EmbedStream, which waits for the server's permits where Embed would be refused. */
export function embedCall(embedding: Embedding, writer: Writer, errors: TeiCall['errors']): TeiCall {
  const frame = (index: number): Buffer => {
    const { truncation, promptName, normalize, dimensions } = embedding;
    const message: Message = [];
    addText(message, 1, embedding.inputs[index] as string);
    addTruncation(message, truncation, [2, 4]);
    addOptionalFlag(message, 3, normalize);
    addOptionalText(message, 5, promptName);
    addNumber(message, 6, dimensions);
    return frameOf(...message);
  };
  return { ...streamed('/tei.v1.Embed/Embed', embedding.inputs.length), frame, writer, errors };
}

/** EmbedSparse and EmbedAll, which have the same fields. */
export function embedOtherCall(
  method: 'EmbedSparse' | 'EmbedAll',
  { inputs, truncation, promptName }: Embedding,
  writer: Writer,
): TeiCall {
  const frame = (index: number): Buffer => {
    const message: Message = [];
    addText(message, 1, inputs[index] as string);
    addTruncation(message, truncation, [2, 3]);
    addOptionalText(message, 4, promptName);
    return frameOf(...message);
  };
  return { ...streamed(`/tei.v1.Embed/${method}`, inputs.length), frame, writer, errors: 'tei' };
}

/** The unary method for one message, the stream of the same name for more. */
export function streamed(method: string, messages: number): Pick<TeiCall, 'method' | 'messages' | 'isOneToOne'> {
  return { method: messages === 1 ? method : `${method}Stream`, messages, isOneToOne: true };
}
