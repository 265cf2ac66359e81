/** Who is in the room and what was said: a pure function of the notifications. */

import type { ChatMessage, Notification, Peer, ProducerInfo } from './types'

export interface Roster {
  peers: Peer[]
  chat: ChatMessage[]
}

export const CHAT_LIMIT = 500 // the oldest messages go first

function changePeer(roster: Roster, id: string, change: (peer: Peer) => Peer): Roster {
  return { ...roster, peers: roster.peers.map((peer) => (peer.id === id ? change(peer) : peer)) }
}

function changeProducers(roster: Roster, id: string, change: (all: ProducerInfo[]) => ProducerInfo[]): Roster {
  return changePeer(roster, id, (peer) => ({ ...peer, producers: change(peer.producers) }))
}

/** The roster after a notification; the same object if it says nothing about people or chat. */
export function follow(roster: Roster, notification: Notification): Roster {
  switch (notification.method) {
    case 'newPeer': {
      const peer = notification.data
      return { ...roster, peers: [...roster.peers.filter(({ id }) => id !== peer.id), peer] }
    }
    case 'peerLeft': {
      const { peerId } = notification.data
      return { ...roster, peers: roster.peers.filter(({ id }) => id !== peerId) }
    }
    case 'peerChanged': {
      const { peerId, ...change } = notification.data
      return changePeer(roster, peerId, (peer) => ({ ...peer, ...change }))
    }
    case 'newProducer': {
      const { peerId, producerId: id, kind, paused, appData } = notification.data
      return changeProducers(roster, peerId, (all) => [
        ...all.filter((one) => one.id !== id),
        { id, kind, paused, appData },
      ])
    }
    case 'producerClosed': {
      const { peerId, producerId } = notification.data
      return changeProducers(roster, peerId, (all) => all.filter(({ id }) => id !== producerId))
    }
    case 'producerPaused':
    case 'producerResumed': {
      const { peerId, producerId } = notification.data
      const paused = notification.method === 'producerPaused'
      return changeProducers(roster, peerId, (all) =>
        all.map((one) => (one.id === producerId ? { ...one, paused } : one)),
      )
    }
    case 'chat': {
      const message = notification.data
      if (roster.chat.some(({ id }) => id === message.id)) return roster
      return { ...roster, chat: [...roster.chat, message].slice(-CHAT_LIMIT) }
    }
    default:
      return roster
  }
}
