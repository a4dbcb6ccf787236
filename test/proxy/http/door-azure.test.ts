import { describe, expect, test } from 'vitest';
import { chat, fakes, openDoor, pool } from './door.ts';

const CHAT = '/v1/chat/completions';

/** What the operator makes of examples/azure.yaml: the deployment in the path, the key bare, the version in the query. */
function azure(name: string, url: string, deployment: string): object {
  return {
    ...{ name, url: `${url}/openai/deployments/${deployment}` },
    headers: [{ name: 'api-key', valueFrom: { secret: 'azure', key: name } }],
    query: [{ name: 'api-version', value: '2024-10-21' }],
  };
}

function credentials(values: Record<string, string>): Record<string, unknown> {
  const of = { kind: 'LLMPool', namespace: 'ml', name: 'gpt-4' };
  return { format: 1, kind: 'Credentials', of, id: 'c', values };
}

describe('Azure OpenAI as a backend', () => {
  test('gets its deployment in the path, its version in the query and its key bare, and nothing of the client’s own', async () => {
    const [east] = await fakes('east');
    const door = await openDoor();
    await door.put(
      pool('gpt-4', [azure('east', east.url, 'gpt-4-deployment-001')], { credentials: { id: 'c' } }),
      credentials({ 'azure/east': 'east-key' }),
    );
    const headers = { authorization: 'Bearer client-key', 'api-key': 'client-key' };
    const response = await door.post(`${CHAT}?api-version=2020-01-01&x=1`, chat('gpt-4'), { headers });
    expect(response.status).toBe(200);
    const [call] = east.calls;
    expect(call?.path).toBe('/openai/deployments/gpt-4-deployment-001/chat/completions?x=1&api-version=2024-10-21');
    expect(call?.headers).toMatchObject({ 'api-key': 'east-key' });
    expect(call?.headers.authorization).toBeUndefined();
    expect(JSON.stringify(call?.rawHeaders)).not.toContain('client-key');
    expect((await door.post('/v1/embeddings', { model: 'gpt-4', input: 'x' })).status).toBe(200);
    expect(east.calls[1]?.path).toBe('/openai/deployments/gpt-4-deployment-001/embeddings?api-version=2024-10-21');
  });

  test('of two regions each gets its own key, also when one takes over from the other', async () => {
    const [east, west] = await fakes('east', 'west');
    east.behave({ status: 429, retryAfter: '30' });
    const door = await openDoor();
    await door.put(
      pool('gpt-4', [azure('east', east.url, 'd-east'), { ...azure('west', west.url, 'd-west'), tier: 1 }], {
        credentials: { id: 'c' },
      }),
      credentials({ 'azure/east': 'east-key', 'azure/west': 'west-key' }),
    );
    expect((await door.post(CHAT, chat('gpt-4'))).status).toBe(200);
    expect(east.calls.map(({ headers }) => headers['api-key'])).toEqual(['east-key']);
    expect(west.calls.map(({ headers, path }) => [headers['api-key'], path])).toEqual([
      ['west-key', '/openai/deployments/d-west/chat/completions?api-version=2024-10-21'],
    ]);
  });
});
