import type { StreamedBody } from './attempt.ts';
import type { BodyLimits, HeldBytes } from './body.ts';
import type { Exchange } from './exchange.ts';
export interface MultipartBody {
  readonly model: string;
  readonly as: (model: string) => StreamedBody;
  readonly isRepeatable: () => boolean;
}
export async function readMultipart(_e: Exchange, _l: BodyLimits, _h: HeldBytes): Promise<MultipartBody> {
  throw new Error('x');
}
