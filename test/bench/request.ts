/** The bytes of a chat call of about 1 KiB. */
export function chatRequest(model: string, more: object = {}): Buffer {
  const body = JSON.stringify({
    ...{ model, ...more },
    messages: [{ role: 'user', content: 'x'.repeat(1024 - 60) }],
  });
  return Buffer.from(
    `POST /v1/chat/completions HTTP/1.1\r\nhost: sluice\r\ncontent-type: application/json\r\n` +
      `authorization: Bearer none\r\nuser-agent: bench\r\naccept: */*\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  );
}
