import { type ClientHttp2Session, type ClientHttp2Stream, connect as connectHttp2, constants } from 'node:http2';
import { type AddressInfo, connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { afterEach, expect, test } from 'vitest';
import { createGrpcServer, type GrpcServer, type OnStream } from '../../../proxy/grpc/server.ts';
import { selfSigned } from '../../support/certificate.ts';
import { eventually } from '../../support/eventually.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const echo: OnStream = (stream) => {
  if (stream.destroyed) return;
  stream.respond({ ':status': 200 });
  stream.end('ok');
};

async function start(onStream: OnStream, options = {}): Promise<GrpcServer & { origin: string; port: number }> {
  const door = createGrpcServer(onStream, { maxConnectionAgeMs: 0, random: () => 0.5, ...options });
  await new Promise<void>((resolve) => door.server.listen(0, '127.0.0.1', resolve));
  cleanups.push(() => door.drain(0));
  const { port } = door.server.address() as AddressInfo;
  return { ...door, port, origin: `http://127.0.0.1:${port}` };
}

function client(origin: string, options = {}): ClientHttp2Session {
  const session = connectHttp2(origin, options);
  session.on('error', () => {});
  cleanups.push(() => session.destroy());
  return session;
}

function finish(stream: ClientHttp2Stream): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    stream.on('data', (chunk: Buffer) => {
      text += chunk;
    });
    stream.on('error', () => {});
    stream.on('close', () => resolve(stream.rstCode === 0 ? text : `reset ${stream.rstCode}`));
  });
}

function call(session: ClientHttp2Session, headers = {}): ClientHttp2Stream {
  const stream = session.request({ ':method': 'POST', ':path': '/x', ...headers });
  stream.on('error', () => {});
  stream.end();
  return stream;
}

/** What the door says to these bytes, until it closes the connection. */
function say(port: number, bytes: string | Buffer): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes));
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk;
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(text));
  });
}

test('HTTP/1 gets an HTTP/1 answer that says what the port is for', async () => {
  const door = await start(echo);
  for (const request of ['GET / HTTP/1.1\r\nhost: x\r\n\r\n', 'POST /v1/embeddings HTTP/1.1\r\nhost: x\r\n\r\n']) {
    const answer = await say(door.port, request);
    expect(answer).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
    expect(answer).toContain('This port speaks gRPC');
  }
  expect(await finish(call(client(door.origin)))).toBe('ok');
});

test('HTTP/1 over TLS is refused in words too, HTTP/2 is served', async () => {
  const pair = selfSigned('sluice.test');
  const door = await start(echo, { tls: pair });
  const answer = await new Promise<string>((resolve) => {
    const socket = connectTls({ port: door.port, host: '127.0.0.1', ca: pair.cert, servername: 'sluice.test' }, () =>
      socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n'),
    );
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk;
    });
    socket.on('close', () => resolve(text));
  });
  expect(answer).toContain('This port speaks gRPC');
  const session = client(`https://127.0.0.1:${door.port}`, { ca: pair.cert, servername: 'sluice.test' });
  expect(await finish(call(session))).toBe('ok');
});

test('garbage ends its own connection only', async () => {
  const door = await start(echo);
  const session = client(door.origin);
  await finish(call(session));
  await Promise.all([
    say(door.port, '\x00\x01\x02garbage'),
    say(door.port, 'PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n'),
    say(door.port, Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), Buffer.alloc(100, 0xff)])),
  ]);
  expect(await finish(call(session))).toBe('ok');
});

test('a flood of headers ends that call, not the process', async () => {
  const door = await start(echo);
  const session = client(door.origin);
  await finish(call(session));
  expect(await finish(call(session, { 'x-large': 'x'.repeat(40_000) }))).toMatch(/^reset/);
  const many = Object.fromEntries(Array.from({ length: 300 }, (_, index) => [`x-${index}`, 'y']));
  expect(await finish(call(client(door.origin), many))).toMatch(/^reset/);
  expect(await finish(call(client(door.origin)))).toBe('ok');
});

test('1,024 streams on one connection are all answered', async () => {
  const door = await start(echo);
  const session = client(door.origin);
  await finish(call(session));
  const answers = await Promise.all(Array.from({ length: 1024 }, () => finish(call(session))));
  expect(answers.every((answer) => answer === 'ok')).toBe(true);
});

test('10,000 streams at once: the connection and those within the limit live on', async () => {
  const held: (() => void)[] = [];
  const door = await start((stream, ...rest) => {
    held.push(() => echo(stream, ...rest));
  });
  const session = client(door.origin, { peerMaxConcurrentStreams: 100_000 });
  const ends = Array.from({ length: 10_000 }, () => finish(call(session)));
  await eventually('1,024 calls', () => held.length >= 1024);
  const timer = setInterval(() => {
    for (const answer of held.splice(0)) answer();
  }, 5);
  const answers = await Promise.all(ends);
  clearInterval(timer);
  expect(answers.filter((answer) => answer === 'ok').length).toBeGreaterThanOrEqual(1024);
  expect(session.destroyed).toBe(false);
});

test('cancelling a third of 1,000 calls at once, three times over, loses no other call of the connection', async () => {
  const door = await start((stream, ...rest) => {
    setTimeout(() => echo(stream, ...rest), 20);
  });
  const session = client(door.origin);
  await finish(call(session));
  for (let round = 0; round < 3; round += 1) {
    const calls = Array.from({ length: 1000 }, () => call(session));
    const ends = calls.map(finish);
    await eventually('streams are open', () => calls.every((each) => each.id !== undefined));
    for (const [index, each] of calls.entries()) if (index % 3 === 0) each.close(constants.NGHTTP2_CANCEL);
    const answers = await Promise.all(ends);
    expect(answers.filter((answer) => answer === 'ok').length).toBe(666);
  }
});

test('rapid reset is ended with GOAWAY; another connection is served meanwhile', async () => {
  const door = await start((stream, headers, ...rest) => {
    if (headers[':path'] === '/live') echo(stream, headers, ...rest);
  });
  const live = client(door.origin);
  const session = client(door.origin);
  let goaway = 0;
  session.on('goaway', () => {
    goaway += 1;
  });
  const reset = (): void => {
    for (let index = 0; index < 500 && !session.destroyed; index += 1) call(session).close(constants.NGHTTP2_CANCEL);
  };
  const timer = setInterval(reset, 5);
  await eventually('the connection ends', async () => {
    expect(await finish(call(live, { ':path': '/live' }))).toBe('ok');
    return session.destroyed;
  });
  clearInterval(timer);
  expect(goaway).toBeGreaterThan(0);
});

test('pings without calls are answered for ever: no ENHANCE_YOUR_CALM', async () => {
  const door = await start(echo);
  const session = client(door.origin);
  await finish(call(session));
  for (let count = 0; count < 200; count += 1) {
    await new Promise<void>((resolve, reject) => session.ping((error) => (error === null ? resolve() : reject(error))));
  }
  expect(await finish(call(session))).toBe('ok');
});

test('draining lets open calls end and takes no new ones; what hangs is cut', async () => {
  const held: (() => void)[] = [];
  const door = await start((stream, ...rest) => {
    held.push(() => echo(stream, ...rest));
  });
  const session = client(door.origin);
  const answer = finish(call(session));
  const idle = client(door.origin);
  await eventually('the call', () => held.length === 1);
  const drained = door.drain(10_000);
  await eventually('clients are told', () => session.closed && idle.closed);
  held[0]?.();
  expect(await answer).toBe('ok');
  await drained;

  const second = await start(() => {});
  const hanging = finish(call(client(second.origin)));
  const silent = connect(second.port, '127.0.0.1');
  silent.on('error', () => {});
  await eventually('it is connected', () => !silent.connecting);
  await second.drain(100);
  expect(await hanging).toMatch(/^reset|^$/);
});

test('a connection older than its age is told to go, its calls end as they would', async () => {
  const held: (() => void)[] = [];
  const door = await start(
    (stream, ...rest) => {
      held.push(() => echo(stream, ...rest));
    },
    { maxConnectionAgeMs: 50 },
  );
  const session = client(door.origin);
  const answer = finish(call(session));
  await eventually('it is told to go', () => session.closed);
  held[0]?.();
  expect(await answer).toBe('ok');
});
