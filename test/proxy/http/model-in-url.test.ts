import { describe, expect, test } from 'vitest';
import { modelInUrl } from '../../../proxy/http/model-in-url.ts';
import { type Path, parsePath } from '../../../proxy/http/path.ts';
import { joinQuery, modelOfQuery, replaceQueryModel } from '../../../proxy/http/query.ts';

function modelOf(request: string): string {
  const [method = '', target = ''] = request.split(' ');
  return modelInUrl(method, parsePath(target) as Extract<Path, { kind: 'openai' | 'models' }>);
}

describe('the model of a request without a body', () => {
  test.each([
    ['GET /v1/responses/resp_1?model=chat', 'chat'],
    ['DELETE /v1/responses/resp_1?x=1&model=ml%2Fchat', 'ml/chat'],
    ['GET /v1/files/file-1/content?model=a+b', 'a b'],
    ['GET /v1/chat/completions?model=chat&limit=3', 'chat'],
    ['GET /v1/x?mod%65l=chat', 'chat'],
    ['GET /v1/x?model=__proto__', '__proto__'],
    ['DELETE /v1/models/ft:gpt-4o:acme::abc', 'ft:gpt-4o:acme::abc'],
    ['DELETE /v1/models/ml%2Fchat', 'ml/chat'],
  ])('%s is %s', (request, model) => {
    expect(modelOf(request)).toBe(model);
  });

  test.each([
    ['GET /v1/chat/completions', 'POST'],
    ['DELETE /v1/embeddings?x=1', 'POST'],
    ['PUT /v1/chat/completions?model=chat', 'POST'],
    ['PUT /v1/files?model=chat', 'GET, POST, DELETE'],
    ['HEAD /v1/files/1?model=chat', 'GET, POST, DELETE'],
    ['OPTIONS /v1/x', 'GET, POST, DELETE'],
    ['POST /v1/models', 'GET'],
    ['DELETE /v1/models', 'GET'],
    ['PATCH /v1/models/chat', 'GET, DELETE'],
  ])('%s is 405, and Allow says %s', (request, allow) => {
    expect(() => modelOf(request)).toThrow(expect.objectContaining({ status: 405, code: 'method_not_allowed', allow }));
  });

  test.each([
    ['GET /v1/files', 'unknown_path', 404, /\?model=NAME/],
    ['DELETE /v1/responses/resp_1?models=x', 'unknown_path', 404, /\?model=NAME/],
    ['GET /v1/batches?model=', 'missing_model', 400, /empty/],
    ['GET /v1/batches?model', 'missing_model', 400, /empty/],
    ['GET /v1/batches?model=a&model=a', 'duplicate_model', 400, /twice/],
    ['GET /v1/batches?model=a&%6dodel=b', 'duplicate_model', 400, /twice/],
  ])('%s is %s', (request, code, status, message) => {
    expect(() => modelOf(request)).toThrow(
      expect.objectContaining({ code, status, param: 'model', message: expect.stringMatching(message) }),
    );
  });
});

describe('the query', () => {
  test.each([
    ['model=chat', 'model=llama%203%2F%26%3D%3F'],
    ['a=%20b&mod%65l=chat&flag&&x=%2F+', 'a=%20b&model=llama%203%2F%26%3D%3F&flag&&x=%2F+'],
    ['models=chat&xmodel=y', 'models=chat&xmodel=y'],
  ])('%s with another model keeps every other byte', (query, replaced) => {
    expect(replaceQueryModel(query, 'llama 3/&=?')).toBe(replaced);
  });

  test('reads the model it wrote', () => {
    for (const model of ['a b', 'ü/é', 'x&model=y', '100%', '+']) {
      expect(modelOfQuery(replaceQueryModel('model=chat', model))).toBe(model);
    }
  });

  test('of a backend takes the place of the client’s', () => {
    expect(joinQuery('model=a&api%2Dversion=evil', 'api-version=1')).toBe('?model=a&api-version=1');
  });
});
