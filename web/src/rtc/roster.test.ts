import { expect, it } from 'vitest'
import { CHAT_LIMIT, follow, type Roster } from './roster'
import type { Notification, Peer } from './types'

const anna: Peer = { id: 'a', displayName: 'Anna', handRaised: false, joinedAt: 1, producers: [] }
const bert: Peer = { ...anna, id: 'b', displayName: 'Bert' }
const mic = { id: 'p', kind: 'audio' as const, paused: false, appData: { source: 'mic' } }
const withMic: Roster = { peers: [{ ...anna, producers: [mic] }, bert], chat: [] }

const cases: [string, Roster, Notification, Roster][] = [
  ['adds a peer', { peers: [anna], chat: [] }, { method: 'newPeer', data: bert }, { peers: [anna, bert], chat: [] }],
  ['replaces a peer', { peers: [anna], chat: [] }, { method: 'newPeer', data: anna }, { peers: [anna], chat: [] }],
  [
    'removes a peer',
    { peers: [anna, bert], chat: [] },
    { method: 'peerLeft', data: { peerId: 'a', reason: 'left' } },
    { peers: [bert], chat: [] },
  ],
  [
    'raises a hand and keeps the name',
    { peers: [anna], chat: [] },
    { method: 'peerChanged', data: { peerId: 'a', handRaised: true } },
    { peers: [{ ...anna, handRaised: true }], chat: [] },
  ],
  [
    'adds a producer',
    { peers: [anna, bert], chat: [] },
    {
      method: 'newProducer',
      data: { peerId: 'a', producerId: 'p', kind: 'audio', paused: false, appData: mic.appData },
    },
    withMic,
  ],
  [
    'pauses a producer',
    withMic,
    { method: 'producerPaused', data: { peerId: 'a', producerId: 'p' } },
    { peers: [{ ...anna, producers: [{ ...mic, paused: true }] }, bert], chat: [] },
  ],
  [
    'removes a producer',
    withMic,
    { method: 'producerClosed', data: { peerId: 'a', producerId: 'p' } },
    { peers: [anna, bert], chat: [] },
  ],
]

it.each(cases)('%s', (_, before, notification, after) => {
  expect(follow(before, notification)).toEqual(after)
})

it('gives the same roster for what is not about people or chat', () => {
  expect(follow(withMic, { method: 'consumerPaused', data: { consumerId: 'c' } })).toBe(withMic)
})

it('keeps the newest chat lines only', () => {
  let roster: Roster = { peers: [], chat: [] }
  for (let n = 0; n <= CHAT_LIMIT; n++) {
    const data = { id: String(n), peerId: 'a', displayName: 'Anna', text: 'x', at: n }
    roster = follow(roster, { method: 'chat', data })
  }
  expect([roster.chat.length, roster.chat[0]?.id, roster.chat.at(-1)?.id]).toEqual([
    CHAT_LIMIT,
    '1',
    String(CHAT_LIMIT),
  ])
})
