import type { Endpoint, EndpointState, Pool } from '../pool.ts';
import { winnerOf } from './rendezvous.ts';

/** Where conversations were served last, by hash, the oldest first. It decides nothing: it only tells of a move. */
export type Conversations = Map<number, EndpointState>;

/** Of one pool; the oldest are forgotten. */
const REMEMBERED = 10_000;

/**
 * Whether a conversation goes elsewhere than last time, or, where this proxy has not seen it, than it would if every
 * endpoint could be had.
 */
export function hasMoved(conversations: Conversations, pool: Pool, conversation: number, { state }: Endpoint): boolean {
  const before = conversations.get(conversation) ?? homeOf(pool, conversation);
  conversations.delete(conversation);
  conversations.set(conversation, state);
  if (conversations.size > REMEMBERED) {
    const [oldest] = conversations.keys();
    if (oldest !== undefined) conversations.delete(oldest);
  }
  return before !== undefined && before !== state;
}

const always = (): boolean => true;

function homeOf({ tiers }: Pool, conversation: number): EndpointState | undefined {
  for (const { endpoints } of tiers) {
    const home = winnerOf(endpoints, conversation, always);
    if (home !== undefined) return home.state;
  }
  return undefined;
}
