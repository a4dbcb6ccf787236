import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';

/** A stand-in for a model server: the OpenAI API and TEI's /embed. Every answer says who gave it. */
export function startModelServer(name: string, port: number): Promise<Server> {
  const server = createServer((req, res) => {
    answer(name, req, res).catch((error: unknown) => {
      if (!res.headersSent) json(res, 400, { error: { message: String(error), type: 'invalid_request_error' } });
      else res.destroy();
    });
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
}

async function answer(name: string, req: IncomingMessage, res: ServerResponse): Promise<void> {
  switch (`${req.method} ${req.url?.split('?')[0]}`) {
    case 'GET /v1/models':
      return json(res, 200, { object: 'list', data: [{ id: name, object: 'model', created: 0, owned_by: 'demo' }] });
    case 'GET /health':
      return json(res, 200, {});
    case 'POST /v1/chat/completions':
      return chat(name, await body(req), res);
    case 'POST /v1/embeddings': {
      const data = texts((await body(req)).input).map((text, index) => ({
        object: 'embedding',
        index,
        embedding: embed(text),
      }));
      return json(res, 200, { object: 'list', data, model: name, usage: { prompt_tokens: 1, total_tokens: 1 } });
    }
    case 'POST /embed':
      return json(res, 200, texts((await body(req)).inputs).map(embed));
    default:
      return json(res, 404, { error: { message: `${name} has no ${req.url}`, type: 'invalid_request_error' } });
  }
}

interface Body {
  readonly stream?: boolean;
  readonly model?: string;
  readonly messages?: readonly { readonly content: string }[];
  readonly input?: unknown;
  readonly inputs?: unknown;
}

async function body(req: IncomingMessage): Promise<Body> {
  const chunks: Buffer[] = [];
  for await (const chunk of req) chunks.push(chunk as Buffer);
  return JSON.parse(Buffer.concat(chunks).toString()) as Body;
}

async function chat(name: string, { stream, model, messages }: Body, res: ServerResponse): Promise<void> {
  const said = messages?.at(-1)?.content ?? '';
  const words = `Hello from ${name}. You said: ${said}`.split(/(?<= )/);
  const head = { id: 'chatcmpl-demo', created: Math.floor(Date.now() / 1000), model };
  if (stream !== true) {
    const choice = { index: 0, message: { role: 'assistant', content: words.join('') }, finish_reason: 'stop' };
    const usage = { prompt_tokens: 1, completion_tokens: words.length, total_tokens: words.length + 1 };
    return json(res, 200, { ...head, object: 'chat.completion', choices: [choice], usage });
  }
  res.writeHead(200, { 'content-type': 'text/event-stream' });
  const event = (delta: object, finish_reason: string | null = null) =>
    res.write(
      `data: ${JSON.stringify({ ...head, object: 'chat.completion.chunk', choices: [{ index: 0, delta, finish_reason }] })}\n\n`,
    );
  event({ role: 'assistant', content: '' });
  for (const content of words) {
    event({ content });
    await delay(80);
    if (res.destroyed) return;
  }
  event({}, 'stop');
  res.end('data: [DONE]\n\n');
}

function texts(input: unknown): string[] {
  return Array.isArray(input) ? input.map(String) : [String(input)];
}

/** Not much of a meaning, but the same text is always the same eight numbers, of length 1. */
function embed(text: string): number[] {
  const counts = Array.from(
    { length: 8 },
    (_, at) => [...text].filter((c) => (c.codePointAt(0) ?? 0) % 8 === at).length,
  );
  const length = Math.hypot(...counts) || 1;
  return counts.map((count) => count / length);
}

function json(res: ServerResponse, status: number, value: object): void {
  res.writeHead(status, { 'content-type': 'application/json' });
  res.end(JSON.stringify(value));
}
