/** What servers send, as they send it: events in order, and the index of the one that lets a stream go. */
export interface Transcript {
  readonly server: string;
  readonly events: readonly string[];
  /** Of the event that decides; -1: none does. */
  readonly decides: number;
  readonly verdict: 'release' | 'error' | 'no_content' | 'hold';
}

const chunk = (choices: string, rest = ''): string =>
  `data: {"id":"chatcmpl-9","object":"chat.completion.chunk","created":1753700000,"model":"m","choices":[${choices}]${rest}}\n\n`;
const delta = (fields: string, finish = 'null'): string =>
  chunk(`{"index":0,"delta":{${fields}},"logprobs":null,"finish_reason":${finish}}`);
const named = (name: string, data: string): string => `event: ${name}\ndata: ${data}\n\n`;
const lifecycle = (name: string, status: string): string =>
  named(
    name,
    `{"type":"${name}","sequence_number":0,"response":{"id":"resp_1","status":"${status}","error":null,"usage":null}}`,
  );

const ROLE = delta('"role":"assistant","content":"","refusal":null');
const HELLO = delta('"content":"Hello"');
const DONE = 'data: [DONE]\n\n';

export const TRANSCRIPTS: readonly Transcript[] = [
  { server: 'OpenAI chat', events: [ROLE, HELLO, delta('', '"stop"'), DONE], decides: 1, verdict: 'release' },
  {
    server: 'Azure, whose first event is about the prompt',
    events: [
      'data: {"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{"prompt_index":0,"content_filter_results":{"hate":{"filtered":false,"severity":"safe"}}}]}\n\n',
      ROLE,
      HELLO,
    ],
    decides: 2,
    verdict: 'release',
  },
  {
    server: 'Azure, whose filter speaks between',
    events: [
      ROLE,
      chunk(
        '{"content_filter_offsets":{"check_offset":44},"content_filter_results":{},"finish_reason":null,"index":0}',
      ),
      HELLO,
    ],
    decides: 2,
    verdict: 'release',
  },
  {
    server: 'Anthropic messages',
    events: [
      named('ping', '{"type": "ping"}'),
      named(
        'message_start',
        '{"type":"message_start","message":{"id":"msg_1","role":"assistant","content":[],"usage":{"input_tokens":25,"output_tokens":1}}}',
      ),
    ],
    decides: 1,
    verdict: 'release',
  },
  {
    server: 'Anthropic under load',
    events: [
      named('ping', '{"type": "ping"}'),
      named('error', '{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'),
    ],
    decides: 1,
    verdict: 'error',
  },
  {
    server: 'OpenAI responses',
    events: [
      lifecycle('response.created', 'in_progress'),
      lifecycle('response.queued', 'queued'),
      lifecycle('response.in_progress', 'in_progress'),
      named(
        'response.output_item.added',
        '{"type":"response.output_item.added","output_index":0,"item":{"id":"msg_1"}}',
      ),
    ],
    decides: 3,
    verdict: 'release',
  },
  {
    server: 'OpenAI responses that fail',
    events: [
      lifecycle('response.created', 'in_progress'),
      named(
        'response.failed',
        '{"type":"response.failed","response":{"status":"failed","error":{"code":"server_error"}}}',
      ),
    ],
    decides: 1,
    verdict: 'error',
  },
  {
    server: 'responses without event names',
    events: [
      'data: {"type":"response.created","response":{"error":null}}\n\n',
      'data: {"type":"response.in_progress","response":{"error":null}}\n\n',
      'data: {"type":"response.output_text.delta","delta":"Hi"}\n\n',
    ],
    decides: 2,
    verdict: 'release',
  },
  {
    server: 'vLLM',
    events: [
      chunk(
        '{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}',
        ',"prompt_token_ids":null',
      ),
      chunk('{"index":0,"delta":{"content":"Hel"},"logprobs":null,"finish_reason":null,"token_ids":null}'),
    ],
    decides: 1,
    verdict: 'release',
  },
  {
    server: 'vLLM whose engine died',
    events: [
      ROLE,
      'data: {"error": {"message": "EngineCore encountered an issue", "type": "InternalServerError", "param": null, "code": 500}}\n\n',
      DONE,
    ],
    decides: 1,
    verdict: 'error',
  },
  {
    server: 'older vLLM whose engine died',
    events: [
      'data: {"object":"error","message":"background loop has errored","type":"InternalServerError","code":500}\n\n',
    ],
    decides: 0,
    verdict: 'error',
  },
  {
    server: 'llama.cpp',
    events: [
      'data: {"choices":[{"finish_reason":null,"index":0,"delta":{"role":"assistant","content":null}}],"created":1,"id":"x","model":"m","system_fingerprint":"b5","object":"chat.completion.chunk"}\n\n',
      'data: {"choices":[{"finish_reason":null,"index":0,"delta":{"content":"Hi"}}],"created":1,"id":"x","model":"m","system_fingerprint":"b5","object":"chat.completion.chunk"}\n\n',
    ],
    decides: 1,
    verdict: 'release',
  },
  {
    server: 'older llama.cpp that fails',
    events: ['error: {"code":500,"message":"context is full","type":"server_error"}\n\n'],
    decides: 0,
    verdict: 'error',
  },
  {
    server: 'TGI of old, without a space after the colon',
    events: ['data:{"index":1,"token":{"id":5,"text":"Hi","special":false},"generated_text":null,"details":null}\n\n'],
    decides: 0,
    verdict: 'release',
  },
  {
    server: 'TGI that fails',
    events: ['data:{"error":"Request failed during generation: out of memory","error_type":"generation"}\n\n'],
    decides: 0,
    verdict: 'error',
  },
  {
    server: 'Ollama',
    events: [
      'data: {"id":"chatcmpl-3","object":"chat.completion.chunk","created":1,"model":"qwen3","system_fingerprint":"fp_ollama","choices":[{"index":0,"delta":{"role":"assistant","content":"Hi"},"finish_reason":null}]}\n\n',
    ],
    decides: 0,
    verdict: 'release',
  },
  {
    server: 'OpenRouter, with comments while it waits',
    events: [': OPENROUTER PROCESSING\n\n', ': OPENROUTER PROCESSING\n\n', ROLE, HELLO],
    decides: 3,
    verdict: 'release',
  },
  {
    server: 'OpenRouter whose provider fails',
    events: [
      ROLE,
      chunk(
        '{"index":0,"delta":{"content":""},"finish_reason":"error"}',
        ',"error":{"code":"server_error","message":"Provider disconnected"}',
      ),
    ],
    decides: 1,
    verdict: 'error',
  },
  {
    server: 'a reasoning model',
    events: [
      delta('"role":"assistant","content":null,"reasoning_content":""'),
      delta('"content":null,"reasoning_content":"Let me"'),
    ],
    decides: 1,
    verdict: 'release',
  },
  {
    server: 'a tool call',
    events: [
      delta('"role":"assistant","content":null,"tool_calls":[]'),
      delta('"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":""}}]'),
    ],
    decides: 1,
    verdict: 'release',
  },
  {
    server: 'a refusal',
    events: [ROLE, delta('"refusal":"I cannot"')],
    decides: 1,
    verdict: 'release',
  },
  {
    server: 'two choices, the second of which speaks first',
    events: [
      ROLE,
      chunk(
        '{"index":0,"delta":{"role":"assistant"},"finish_reason":null},{"index":1,"delta":{"content":"Hi"},"finish_reason":null}',
      ),
    ],
    decides: 1,
    verdict: 'release',
  },
  {
    server: 'an answer that is empty and says why',
    events: [ROLE, delta('', '"length"'), DONE],
    decides: 1,
    verdict: 'release',
  },
  {
    server: 'legacy completions',
    events: [
      'data: {"id":"cmpl-1","object":"text_completion","choices":[{"index":0,"text":"","logprobs":null,"finish_reason":null}]}\n\n',
      'data: {"id":"cmpl-1","object":"text_completion","choices":[{"index":0,"text":" Hi","logprobs":null,"finish_reason":null}]}\n\n',
    ],
    decides: 1,
    verdict: 'release',
  },
  { server: 'a stream that is done before it said anything', events: [ROLE, DONE], decides: 1, verdict: 'no_content' },
  {
    server: 'a stream of a role and a ping',
    events: [ROLE, named('ping', '{}'), ': ping\n\n'],
    decides: -1,
    verdict: 'hold',
  },
  { server: 'a stream of text that is no JSON', events: ['data: hello\n\n'], decides: 0, verdict: 'release' },
  { server: 'an event nobody knows', events: ['event: progress\ndata: 5\n\n'], decides: 0, verdict: 'release' },
];
