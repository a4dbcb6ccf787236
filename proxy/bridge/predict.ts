import { frameOf } from '../grpc/frames.ts';
import type { Cursor } from '../grpc/protobuf.ts';
import { type Fields, flagIn, isListOf, isText, wrong } from './fields.ts';
import { addTruncation, truncationIn } from './inputs.ts';
import { cursorOf, eachField, floatAt, messageAt, textAt } from './read-message.ts';
import { listWriter, type TeiCall, wholeWriter } from './tei-call.ts';
import { addFlag, addOptionalText, type Message } from './write-message.ts';

/** A text or a pair to Predict or PredictPair, a batch of either to PredictPairStream. */
export function predictCall(fields: Fields): TeiCall {
  const { inputs } = fields;
  const isBatch = isListOf(inputs, isSequence);
  if (!isText(inputs) && !isBatch && !isSequence(inputs)) {
    throw wrong('inputs', 'a string, a pair of strings, or a list of lists of one or two strings');
  }
  const sequences = isBatch ? inputs : [isText(inputs) ? [inputs] : inputs];
  const truncation = truncationIn(fields);
  const rawScores = flagIn(fields, 'raw_scores', false);
  return {
    method: methodFor(isBatch, sequences[0]?.length ?? 0),
    messages: sequences.length,
    isOneToOne: true,
    frame: (index) => {
      const message: Message = [];
      for (const text of sequences[index] as readonly string[]) addOptionalText(message, 1, text);
      addTruncation(message, truncation, [2, 4]);
      addFlag(message, 3, rawScores);
      return frameOf(...message);
    },
    writer: isBatch ? listWriter(predictionsJson) : wholeWriter(predictionsJson),
    errors: 'tei',
  };
}

function methodFor(isBatch: boolean, texts: number): string {
  if (isBatch) return '/tei.v1.Predict/PredictPairStream';
  return texts === 1 ? '/tei.v1.Predict/Predict' : '/tei.v1.Predict/PredictPair';
}

/** One text or two. */
function isSequence(value: unknown): value is readonly string[] {
  return isListOf(value, isText) && value.length <= 2;
}

function predictionsJson(message: Buffer): string {
  const cursor = cursorOf(message);
  const predictions: object[] = [];
  eachField(cursor, (field) => {
    if (field !== 1) return false;
    predictions.push(predictionAt(cursor));
    return true;
  });
  return JSON.stringify(predictions);
}

function predictionAt(all: Cursor): object {
  const cursor = messageAt(all);
  const prediction = { score: 0, label: '' };
  eachField(cursor, (field) => {
    if (field === 1) prediction.score = floatAt(cursor);
    else if (field === 2) prediction.label = textAt(cursor);
    else return false;
    return true;
  });
  return prediction;
}
