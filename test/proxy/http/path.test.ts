import { describe, expect, test } from 'vitest';
import { ProxyError } from '../../../proxy/errors.ts';
import { parsePath } from '../../../proxy/http/path.ts';

function codeOf(target: string): string {
  try {
    return parsePath(target).kind;
  } catch (error) {
    if (error instanceof ProxyError) return error.code;
    throw error;
  }
}

describe('parsePath', () => {
  test.each([
    ['/v1/chat/completions', { kind: 'openai', rest: '/chat/completions', query: '' }],
    ['/v1/embeddings?api-version=1&x=%2F..', { kind: 'openai', rest: '/embeddings', query: 'api-version=1&x=%2F..' }],
    ['/v1/audio/transcriptions?', { kind: 'openai', rest: '/audio/transcriptions', query: '' }],
    ['/v1/responses/resp_1/input_items', { kind: 'openai', rest: '/responses/resp_1/input_items', query: '' }],
    ['/v1/x.y~z:a@b-c_D9', { kind: 'openai', rest: '/x.y~z:a@b-c_D9', query: '' }],
    ['/v1/...', { kind: 'openai', rest: '/...', query: '' }],
    ['/v1/.a/a./..a', { kind: 'openai', rest: '/.a/a./..a', query: '' }],
    ['/v1/modelsx', { kind: 'openai', rest: '/modelsx', query: '' }],
    ['/v1/v1/chat', { kind: 'openai', rest: '/v1/chat', query: '' }],
    ['/v1/models', { kind: 'models', id: undefined, rest: '/models', query: '' }],
    ['/v1/models?limit=3', { kind: 'models', id: undefined, rest: '/models', query: 'limit=3' }],
    ['/v1/models/gpt-4o', { kind: 'models', id: 'gpt-4o', rest: '/models/gpt-4o', query: '' }],
    ['/v1/models/llama3:8b?x=/y', { kind: 'models', id: 'llama3:8b', rest: '/models/llama3:8b', query: 'x=/y' }],
    ['/v1/models/ml/chat', { kind: 'models', id: 'ml/chat', rest: '/models/ml/chat', query: '' }],
    ['/v1/models/ml%2Fchat', { kind: 'models', id: 'ml/chat', rest: '/models/ml%2Fchat', query: '' }],
    ['/v1/models/a%2fb/c', { kind: 'models', id: 'a/b/c', rest: '/models/a%2fb/c', query: '' }],
    ['/v1/models/embed', { kind: 'models', id: 'embed', rest: '/models/embed', query: '' }],
    ['/instances/bge/embed', { kind: 'instance', name: 'bge', operation: 'embed', method: 'POST', query: '' }],
    ['/instances/bge/info?x=1', { kind: 'instance', name: 'bge', operation: 'info', method: 'GET', query: 'x=1' }],
    [
      '/instances/ml%2Fbge/rerank',
      { kind: 'instance', name: 'ml/bge', operation: 'rerank', method: 'POST', query: '' },
    ],
    ['/instances/bge/health?a/b', { kind: 'instance', name: 'bge', operation: 'health', method: 'GET', query: 'a/b' }],
  ])('reads %s', (target, path) => {
    expect(parsePath(target)).toEqual(path);
  });

  test.each(['embed_sparse', 'embed_all', 'predict', 'tokenize', 'decode'])('POST %s is an operation', (operation) => {
    expect(parsePath(`/instances/x/${operation}`)).toMatchObject({ operation, method: 'POST' });
  });

  test.each([
    '/',
    '/?x=1',
    '/v1',
    '/v1?x=1',
    '/v2/chat/completions',
    '/V1/chat/completions',
    '/route',
    '/sessions/abc',
    '/stats',
    '/use-cases',
    '/health',
    '/metrics',
    '/instances',
    '/instances/bge',
    '/instances/ml%2Fbge',
    '/instances/bge/explode',
    '/instances/bge/embed/more',
    '/instances/ml/bge/embed',
    '/instances/bge/__proto__',
    '/__proto__',
  ])('answers 404 to %s', (target) => {
    expect(codeOf(target)).toBe('unknown_path');
  });

  test.each([
    ['nothing', ''],
    ['an asterisk', '*'],
    ['absolute form', 'http://evil.example/v1/chat/completions'],
    ['an authority', 'evil.example:443'],
    ['no slash', 'v1/chat/completions'],
    ['only a query', '?x=1'],
    ['two slashes at the start', '//v1/chat/completions'],
    ['two slashes', '/v1//chat/completions'],
    ['a slash at the end', '/v1/chat/completions/'],
    ['a slash at the end of /v1', '/v1/'],
    ['a slash at the end of /v1/models', '/v1/models/'],
    ['a slash at the end before a query', '/v1/models/?x=1'],
    ['a dot segment', '/v1/./chat'],
    ['two dots', '/v1/../admin'],
    ['two dots at the end', '/v1/chat/..'],
    ['a dot at the end', '/v1/chat/.'],
    ['an encoded dot segment', '/v1/%2e/chat'],
    ['encoded dots', '/v1/%2e%2e/admin'],
    ['half-encoded dots', '/v1/.%2E/admin'],
    ['a backslash', '/v1\\chat'],
    ['a backslash in a segment', '/v1/chat\\..\\x'],
    ['an encoded slash', '/v1/chat%2Fcompletions'],
    ['an encoded slash right after v1', '/v1%2Fchat'],
    ['an encoded backslash', '/v1/chat%5Cx'],
    ['an encoded letter', '/v1/%63hat'],
    ['an encoded NUL', '/v1/chat%00'],
    ['a bare percent', '/v1/chat%'],
    ['a fragment', '/v1/chat#x'],
    ['a fragment after a query', '/v1/chat?x=1#y'],
    ['a semicolon', '/v1/chat;x=1'],
    ['a space', '/v1/chat completions'],
    ['a control character', '/v1/chat\x01'],
    ['a control character in the query', '/v1/chat?a\x00'],
    ['a line break in the query', '/v1/chat?a\r\nhost: x'],
    ['a byte above ASCII', '/v1/ch\xe4t'],
    ['a byte above ASCII in the query', '/v1/chat?\xe4'],
    ['a character beyond Latin 1', '/v1/\u4e2d'],
    ['a model id that climbs', '/v1/models/../x'],
    ['a model id that climbs, encoded slash', '/v1/models/a%2F..'],
    ['a model id with an empty part', '/v1/models/a%2F%2Fb'],
    ['a model id that starts with a slash', '/v1/models/%2Fa'],
    ['a model id that ends with a slash', '/v1/models/a%2F'],
    ['a model id with an encoded backslash', '/v1/models/a%5Cb'],
    ['a model id encoded twice', '/v1/models/a%252Fb'],
    ['an instance without a name', '/instances//embed'],
    ['an instance path that ends', '/instances/'],
    ['an instance of three parts', '/instances/a%2Fb%2Fc/embed'],
    ['an instance that climbs', '/instances/..%2Fa/embed'],
    ['an instance of dots', '/instances/../embed'],
    ['an operation with an encoded slash', '/instances/a/embed%2Fb'],
    ['a slash after the operation', '/instances/a/embed/'],
    ['a slash after an unknown path', '/route/'],
    ['an encoded slash in an unknown path', '/sessions/a%2Fb'],
    ['an encoded slash before an instance', '/instances%2Fa/embed'],
  ])('answers 400 to %s', (_name, target) => {
    expect(codeOf(target)).toBe('bad_request');
  });

  test('echoes at most 1 KiB of a target', () => {
    for (const target of [`/${'x'.repeat(100_000)}`, `/v1/${'\\'.repeat(100_000)}`]) {
      expect(() => parsePath(target)).toThrow(/^.{900,1300}$/u);
    }
  });
});
