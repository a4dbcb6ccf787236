import { describe, expect, test } from 'vitest';
import { ProxyError } from '../../../proxy/errors.ts';
import { createMultipartScanner, type MultipartModel } from '../../../proxy/http/multipart-model.ts';
import { below, seeded } from './json-fuzz.ts';

const TYPE = 'multipart/form-data; boundary=XyZ';
type Result = { found: MultipartModel } | { code: string };

function scan(chunks: readonly Buffer[], contentType = TYPE): Result {
  try {
    const scanner = createMultipartScanner(contentType);
    let found: MultipartModel | undefined;
    for (const chunk of chunks) found = scanner.push(chunk);
    const last = scanner.end();
    expect(found).toEqual(last);
    return { found: last };
  } catch (error) {
    if (error instanceof ProxyError) return { code: error.code };
    throw error;
  }
}

function field(name: string, value: string): string {
  return `--XyZ\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`;
}

function disposition(text: string, value = 'whisper-1'): string {
  return `--XyZ\r\nContent-Disposition: ${text}\r\n\r\n${value}\r\n--XyZ--\r\n`;
}

const END = '--XyZ--\r\n';
const FILE = `--XyZ\r\nContent-Disposition: form-data; name="file"; filename="a \\"b\\"; name=\\"model\\".wav"\r\nContent-Type: audio/wav\r\n\r\n`;
/** Near misses of a boundary, none of them at the start of a line. */
const AUDIO = `RIFF\x00\xff\r\n-\r\n--Xy\r\n--xyz x--XyZ--\r\n ---XyZ\r\nx\r\n\r\n`;

const ACCEPTED: Record<string, string> = {
  alone: field('model', 'whisper-1') + END,
  'before a file': `${field('model', 'whisper-1') + FILE + AUDIO}\r\n${END}`,
  'after a file': `${FILE + AUDIO}\r\n${field('model', 'whisper-1')}${END}`,
  'after an empty file': `${FILE}\r\n${field('model', 'whisper-1')}${END}`,
  'with a preamble and an epilogue': `preamble -XyZ\r\n${field('model', 'whisper-1')}${END}epilogue`,
  'after an empty line': `\r\n${field('model', 'whisper-1')}${END}`,
  'without a line break at the end': field('model', 'whisper-1') + END.trim(),
  'beside names that only look like it':
    field('models', 'a') + field('Model', 'b') + field('model[]', 'c') + field('model', 'whisper-1') + END,
  'as a name without quotes': disposition('form-data; name=model'),
  'in upper case': disposition('Form-Data; NAME="model"').replace('Content-Disposition', 'CONTENT-DISPOSITION'),
  'with spaces around': disposition('form-data ;  name="model"\t'),
  'with other parameters': disposition('form-data; x="\\"; name=other"; name="model"; y=z'),
  'among other headers': `--XyZ\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 9\r\nContent-Disposition:form-data;name="model"\r\nX: \r\n\r\nwhisper-1\r\n${END}`,
};

const REFUSED: Record<string, [code: string, body: string]> = {
  'nothing at all': ['bad_request', ''],
  'text without a boundary': ['bad_request', 'hello'],
  'no parts': ['missing_model', END],
  'no model': ['missing_model', field('prompt', 'hi') + END],
  'an empty model': ['missing_model', field('model', '') + END],
  'two models': ['duplicate_model', field('model', 'a') + field('x', 'y') + field('model', 'b') + END],
  'the same model twice': ['duplicate_model', field('model', 'a') + field('model', 'a') + END],
  'a model that is a file': ['bad_request', disposition('form-data; name="model"; filename="m.txt"')],
  'a model that is a file with an encoded name': [
    'bad_request',
    disposition("form-data; name=model; filename*=UTF-8''m"),
  ],
  'a model and a file of that name': [
    'duplicate_model',
    `${field('model', 'a')}--XyZ\r\nContent-Disposition: form-data; name="model"\r\n\r\nb\r\n${END}`,
  ],
  'an encoded name': ['bad_request', disposition("form-data; name*=UTF-8''model")],
  'a name in pieces': ['bad_request', disposition('form-data; name*0=mo; name*1=del')],
  'a name with escapes': ['bad_request', disposition('form-data; name="mod\\el"')],
  'two names': ['bad_request', disposition('form-data; name="x"; name="model"')],
  'no name': ['bad_request', disposition('form-data')],
  'another disposition': ['bad_request', disposition('attachment; name="model"')],
  'a name that never ends': ['bad_request', disposition('form-data; name="model')],
  'junk after the name': ['bad_request', disposition('form-data; name="model"x')],
  'space before the equals sign': ['bad_request', disposition('form-data; name ="model"')],
  'no disposition': ['bad_request', `--XyZ\r\nContent-Type: text/plain\r\n\r\nx\r\n${END}`],
  'two dispositions': [
    'bad_request',
    disposition('form-data; name="x"\r\nContent-Disposition: form-data; name="model"'),
  ],
  'no headers': ['bad_request', `--XyZ\r\n\r\nx\r\n${END}`],
  'a header without a colon': ['bad_request', disposition('form-data; name="model"\r\nhello')],
  'a folded header': ['bad_request', disposition('form-data;\r\n name="model"')],
  'space before a colon': [
    'bad_request',
    disposition('x').replace('Disposition: x', 'Disposition : form-data; name="model"'),
  ],
  'a line feed in a header': ['bad_request', disposition('form-data; name="model"\nX: y')],
  'a NUL in a header': ['bad_request', disposition('form-data; name="model"\r\nX: \0')],
  'an encoded value': ['bad_request', disposition('form-data; name="model"\r\nContent-Transfer-Encoding: base64')],
  'a line break in the value': ['bad_request', field('model', 'a\r\nb') + END],
  'a line feed in the value': ['bad_request', field('model', 'a\n') + END],
  'invalid UTF-8 in the value': ['bad_request', field('model', '\xff') + END],
  'a value of more than 1 KiB': ['bad_request', field('model', 'x'.repeat(1025)) + END],
  'a value that never ends': ['bad_request', field('model', 'x'.repeat(100_000))],
  'a head of more than 16 KiB': ['bad_request', disposition(`form-data; name="model"\r\nX: ${'y'.repeat(16_384)}`)],
  'a head that never ends': ['bad_request', `--XyZ\r\nX: ${'y'.repeat(100_000)}`],
  'more than 1,000 parts': ['bad_request', field('model', 'm') + field('x', 'y').repeat(1_000) + END],
  'no closing boundary': ['bad_request', field('model', 'whisper-1')],
  'half a closing boundary': ['bad_request', `${field('model', 'whisper-1')}--XyZ-`],
  'line feeds alone': ['bad_request', (field('model', 'whisper-1') + END).replaceAll('\r\n', '\n')],
  'a boundary after a line feed': [
    'bad_request',
    field('model', 'a') + field('x', `y\n${field('model', 'b').trimEnd()}`) + END,
  ],
  'a boundary after a carriage return': ['bad_request', field('model', 'a') + field('x', 'y\r--XyZ\rz') + END],
  'a boundary after a line feed in the preamble': ['bad_request', `x\n${field('model', 'a')}${END}`],
  'a boundary in a line of the preamble': ['bad_request', `x --XyZ\r\n${field('model', 'a')}${END}`],
  'a boundary right after a head': [
    'bad_request',
    `--XyZ\r\nContent-Disposition: form-data; name="x"\r\n\r\n${field('model', 'a')}${END}`,
  ],
  'a boundary one line feed after a head': [
    'bad_request',
    `--XyZ\r\nContent-Disposition: form-data; name="x"\r\n\r\n\n${field('model', 'a')}${END}`,
  ],
  'a boundary with more letters': ['bad_request', field('model', 'a') + field('x', 'y\r\n--XyZ1') + END],
  'a boundary with spaces behind it': ['bad_request', (field('model', 'a') + END).replace('--XyZ\r\n', '--XyZ \r\n')],
  'a boundary with a carriage return alone behind it': [
    'bad_request',
    (field('model', 'a') + END).replace('--XyZ\r\n', '--XyZ\r '),
  ],
  'letters after the closing boundary': ['bad_request', `${field('model', 'a')}--XyZ--x`],
  'parts after the closing boundary': ['bad_request', field('model', 'a') + END + field('model', 'b') + END],
};

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');

describe('createMultipartScanner', () => {
  test.each(Object.entries(ACCEPTED))('finds the model %s', (_name, text) => {
    const body = bytes(text);
    const start = body.indexOf('whisper-1');
    expect(scan([body])).toEqual({ found: { model: 'whisper-1', start, end: start + 9 } });
  });

  test('finds a model beyond ASCII, of up to 1 KiB', () => {
    for (const model of ['模型😀', 'x'.repeat(1024)]) {
      expect(scan([Buffer.from(field('model', model) + END)])).toMatchObject({ found: { model } });
    }
  });

  test.each(Object.entries(REFUSED))('refuses %s', (_name, [code, text]) => {
    expect(scan([bytes(text)])).toEqual({ code });
  });

  test('gives the model before the rest of the body has come', () => {
    const scanner = createMultipartScanner(TYPE);
    expect(scanner.push(bytes(FILE))).toBeUndefined();
    expect(scanner.push(bytes(`${AUDIO}\r\n${field('model', 'm')}--XyZ\r`))).toBeUndefined();
    expect(scanner.push(bytes('\n'))).toMatchObject({ model: 'm' });
    expect(() => scanner.push(bytes(field('model', 'n').slice('--XyZ\r\n'.length)))).toThrow(/more than one/);
  });

  test.each([
    ['quoted', 'multipart/form-data; boundary="XyZ"'],
    ['in upper case', 'Multipart/Form-Data; BOUNDARY=XyZ'],
    ['among other parameters', 'multipart/form-data ; charset=utf-8; boundary=XyZ;'],
  ])('takes a boundary %s', (_name, contentType) => {
    expect(scan([bytes(field('model', 'm') + END)], contentType)).toMatchObject({ found: { model: 'm' } });
  });

  test.each(["'()+_,-./:=?", '----WebKitFormBoundaryABC', 'a b', 'x'.repeat(70), '--'])(
    'takes the boundary %s',
    (boundary) => {
      const body = (field('model', 'm') + END).replaceAll('XyZ', boundary);
      expect(scan([bytes(body)], `multipart/form-data; boundary="${boundary}"`)).toMatchObject({
        found: { model: 'm' },
      });
    },
  );

  test.each([
    ['no boundary', 'multipart/form-data', 'bad_request'],
    ['an empty one', 'multipart/form-data; boundary=', 'bad_request'],
    ['an empty one in quotes', 'multipart/form-data; boundary=""', 'bad_request'],
    ['two', 'multipart/form-data; boundary=XyZ; boundary=XyZ', 'bad_request'],
    ['one of 71 characters', `multipart/form-data; boundary=${'x'.repeat(71)}`, 'bad_request'],
    ['one that ends in a space', 'multipart/form-data; boundary="XyZ "', 'bad_request'],
    ['one with other characters', 'multipart/form-data; boundary="X\xe4"', 'bad_request'],
    ['junk behind it', 'multipart/form-data; boundary=XyZ x', 'bad_request'],
    ['another multipart type', 'multipart/mixed; boundary=XyZ', 'unsupported_media_type'],
    ['a longer type', 'multipart/form-data2; boundary=XyZ', 'unsupported_media_type'],
  ])('refuses a Content-Type with %s', (_name, contentType, code) => {
    expect(scan([bytes(field('model', 'm') + END)], contentType)).toEqual({ code });
  });
});

describe('however a body is cut into chunks, it reads the same', () => {
  const bodies = [
    ...Object.entries(ACCEPTED),
    ...Object.entries(REFUSED).map(([name, [, text]]) => [name, text] as const),
  ];

  test.each(bodies.filter(([, text]) => text.length < 1_500))('%s', (_name, text) => {
    const body = bytes(text);
    const whole = scan([body]);
    for (let cut = 0; cut <= body.length; cut += 1) {
      expect(scan([body.subarray(0, cut), body.subarray(cut)]), `cut at ${cut}`).toEqual(whole);
    }
    for (const size of [1, 2, 3, 5, 7, 11]) {
      const chunks = Array.from({ length: Math.ceil(body.length / size) }, (_, n) =>
        body.subarray(n * size, (n + 1) * size),
      );
      expect(scan(chunks), `chunks of ${size}`).toEqual(whole);
    }
  });
});

test('where another reader of forms accepts a mutated body too, it finds the same model', async () => {
  const random = seeded(7);
  const texts = Object.values(ACCEPTED);
  const pieces = [
    '\r\n',
    '\n',
    '\r',
    '--XyZ',
    '--XyZ\r\n',
    '--',
    '"',
    ';',
    '\\',
    ':',
    'model',
    ' ',
    '\0',
    field('model', 'b'),
    END,
  ];
  let agreed = 0;
  for (let round = 0; round < 30_000; round += 1) {
    let text = texts[below(random, texts.length)] as string;
    for (let change = below(random, 3); change > 0; change -= 1) {
      const at = below(random, text.length);
      text =
        text.slice(0, at) +
        (random() < 0.7 ? pieces[below(random, pieces.length)] : '') +
        text.slice(at + below(random, 3));
    }
    const body = bytes(text);
    const cuts = Array.from({ length: 3 }, () => below(random, body.length)).sort((a, b) => a - b);
    const chunks = [0, ...cuts].map((from, index) => body.subarray(from, cuts[index] ?? body.length));
    const result = scan(chunks);
    expect(scan([body]), JSON.stringify(text)).toEqual(result);
    if ('code' in result) continue;
    const form = await new Response(body, { headers: { 'content-type': TYPE } }).formData().catch(() => undefined);
    if (form === undefined) continue;
    expect(form.getAll('model'), JSON.stringify(text)).toEqual([result.found.model]);
    agreed += 1;
  }
  expect(agreed).toBeGreaterThan(3_000);
});
