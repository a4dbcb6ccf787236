import { describe, expect, test } from 'vitest';
import { ProxyError } from '../../../proxy/errors.ts';
import { checkJson, readFacts, replaceModel } from '../../../proxy/http/json-body.ts';
import { MAX_DEPTH } from '../../../proxy/http/json-scan.ts';

function refusal(body: Buffer): ProxyError {
  try {
    readFacts(body);
  } catch (error) {
    if (error instanceof ProxyError) return error;
    throw error;
  }
  throw new Error('not refused');
}

describe('readFacts', () => {
  test.each([
    ['alone', '{"model":"gpt-4o"}', 'gpt-4o'],
    ['with space everywhere', ' \r\n{ "model"\t:\n "gpt-4o" } \n', 'gpt-4o'],
    ['last of all', '{"messages":[{"role":"user","content":"hi"}],"n":1,"model":"gpt-4o"}', 'gpt-4o'],
    ['with an escaped key', '{"mod\\u0065l":"gpt-4o"}', 'gpt-4o'],
    ['with every letter of the key escaped', '{"\\u006D\\u006f\\u0064\\u0065\\u006C":"gpt-4o"}', 'gpt-4o'],
    ['with escapes in the value', '{"model":"a\\"b\\\\c\\/d\\u00e9\\ud83d\\ude00"}', 'a"b\\c/dé😀'],
    ['beyond ASCII', '{"model":"模型😀"}', '模型😀'],
    ['with a lone surrogate', '{"model":"\\ud800"}', '\ud800'],
    ['beside a model further down', '{"x":{"model":"no"},"y":[{"model":"no"}],"model":"yes"}', 'yes'],
    ['beside keys that only look like it', '{"models":"a","mode":"b","Model":"c"," model":"d","model":"yes"}', 'yes'],
    ['beside __proto__', '{"__proto__":{"model":"no"},"model":"yes"}', 'yes'],
    ['beside a value that says model', '{"a":"model","b":"\\"model\\":\\"no\\"","model":"yes"}', 'yes'],
    ['beside a long key full of escapes', `{"${'\\u006d'.repeat(50)}":1,"model":"yes"}`, 'yes'],
  ])('finds the model %s', (_name, text, model) => {
    const body = Buffer.from(text);
    const span = readFacts(body);
    expect(span.model).toBe(model);
    expect(JSON.parse(body.toString('utf8', span.start, span.end))).toBe(model);
  });

  test.each([
    ['{"model":"m","stream":true}', true],
    ['{"model":"m","stream": true }', true],
    ['{"model":"m","str\\u0065am":true}', true],
    ['{"model":"m","stream":false,"stream":true}', true],
    ['{"model":"m","stream":true,"stream":false}', false],
    ['{"model":"m","stream":"true"}', false],
    ['{"model":"m","stream":1}', false],
    ['{"model":"m","stream":null}', false],
    ['{"model":"m","x":{"stream":true}}', false],
    ['{"model":"m"}', false],
  ])('of %s says stream: %s', (text, stream) => {
    expect(readFacts(Buffer.from(text)).stream).toBe(stream);
  });

  test.each([
    ['an empty body', ''],
    ['only space', ' \n'],
    ['a byte order mark', '\ufeff{"model":"m"}'],
    ['text', 'hello'],
    ['a missing brace', '{"model":"m"'],
    ['a missing value', '{"model":}'],
    ['a missing colon', '{"model" "m"}'],
    ['a key without quotes', '{model:"m"}'],
    ['single quotes', "{'model':'m'}"],
    ['a comma at the end', '{"model":"m",}'],
    ['a comma at the start', '{,"model":"m"}'],
    ['a comma at the end of an array', '{"model":"m","x":[1,]}'],
    ['two documents', '{"model":"m"}{}'],
    ['a closing brace too many', '{"model":"m"}}'],
    ['brackets that do not match', '{"model":"m","x":[1}}'],
    ['a line break in a string', '{"model":"m\n"}'],
    ['a control character in a string', '{"model":"m\x00"}'],
    ['a bad escape', '{"model":"\\x41"}'],
    ['a short unicode escape', '{"model":"\\u12"}'],
    ['a number with a leading zero', '{"model":"m","n":01}'],
    ['NaN', '{"model":"m","n":NaN}'],
    ['a comment', '{"model":"m"/**/}'],
    ['a broken end after two models', '{"model":"m","model":"m"'],
  ])('refuses %s as invalid_json', (_name, text) => {
    expect(refusal(Buffer.from(text))).toMatchObject({ code: 'invalid_json', status: 400 });
  });

  test.each([
    ['a byte that never stands in UTF-8', [0xff]],
    ['an overlong slash', [0xc0, 0xaf]],
    ['an encoded surrogate', [0xed, 0xa0, 0x80]],
    ['a cut sequence', [0xe2, 0x82]],
  ])('refuses invalid UTF-8: %s', (_name, bytes) => {
    const body = Buffer.concat([Buffer.from('{"model":"'), Buffer.from(bytes), Buffer.from('"}')]);
    expect(refusal(body)).toMatchObject({ code: 'invalid_json', message: expect.stringContaining('UTF-8') });
  });

  test('says where the body stops being JSON', () => {
    expect(refusal(Buffer.from('{"model":"m",}')).message).toContain('offset 13');
    expect(refusal(Buffer.from('{"model":')).message).toContain('ends too early');
  });

  test.each([
    ['no model', '{"messages":[]}'],
    ['an empty object', '{}'],
    ['an array', '[{"model":"m"}]'],
    ['a string', '"model"'],
    ['null', 'null'],
    ['an empty model', '{"model":""}'],
    ['a number', '{"model":1}'],
    ['null as the model', '{"model":null}'],
    ['an object as the model', '{"model":{"model":"m"}}'],
    ['only a model further down', '{"x":{"model":"m"}}'],
  ])('refuses %s as missing_model', (_name, text) => {
    expect(refusal(Buffer.from(text))).toMatchObject({ code: 'missing_model', status: 400, param: 'model' });
  });

  test.each([
    ['twice the same', '{"model":"a","model":"a"}'],
    ['the second one escaped', '{"model":"a","\\u006dodel":"b"}'],
    ['the first one not a string', '{"model":1,"model":"b"}'],
    ['far apart', `{"model":"a","x":"${'y'.repeat(10_000)}","model":"b"}`],
  ])('refuses a duplicate model: %s', (_name, text) => {
    expect(refusal(Buffer.from(text))).toMatchObject({ code: 'duplicate_model', status: 400, param: 'model' });
  });

  test('reads what JSON.parse reads however deep it nests, up to its own limit', () => {
    const nested = (levels: number): Buffer =>
      Buffer.from(`{"x":${'['.repeat(levels - 1)}1${']'.repeat(levels - 1)},"model":"m"}`);
    expect(readFacts(nested(100_000)).model).toBe('m');
    expect(readFacts(nested(MAX_DEPTH)).model).toBe('m');
    expect(refusal(nested(MAX_DEPTH + 1))).toMatchObject({
      code: 'invalid_json',
      message: expect.stringContaining('deep'),
    });
    expect(readFacts(Buffer.from('{"model":"m","x":[{"y":[]}]}')).model).toBe('m');
  });

  test('reads a body wherever it lies in memory', () => {
    const text = '{"model":"gpt-4o","messages":[{"role":"user","content":"a \\"b\\" #!!!\\n c"}]}';
    for (let shift = 0; shift < 9; shift += 1) {
      const room = Buffer.alloc(shift + text.length + 8, '"');
      room.write(text, shift);
      expect(readFacts(room.subarray(shift, shift + text.length)).model).toBe('gpt-4o');
    }
  });
});

describe('checkJson', () => {
  test('asks for JSON and nothing more', () => {
    for (const text of ['{}', '[1,2]', '"x"', ' null ', '{"model":"a","model":"b"}']) checkJson(Buffer.from(text));
    for (const text of ['', '{', '\ufeff{}', '[1 2]']) expect(() => checkJson(Buffer.from(text))).toThrow(ProxyError);
  });
});

describe('replaceModel', () => {
  test.each([
    ['shorter', 'm'],
    ['longer', 'meta-llama/Llama-3.3-70B-Instruct'],
    ['with quotes and line breaks', 'a"b\\\n'],
    ['beyond ASCII', '模型😀'],
    ['a lone surrogate', '\ud800'],
  ])('changes the value alone: %s', (_name, model) => {
    const before = '{ "n" : 1.0, "model" : ';
    const after = ' , "text":"caf\\u00e9 模型", "model2":"gpt-4o"}\n';
    const body = Buffer.from(`${before}"gpt-4o"${after}`);
    const replaced = replaceModel(body, readFacts(body), model).toString();
    expect(replaced).toBe(`${before}${JSON.stringify(model)}${after}`);
    expect(readFacts(Buffer.from(replaced)).model).toBe(model);
  });
});
