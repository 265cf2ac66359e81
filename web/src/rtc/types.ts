/** The words of the signaling protocol (docs/signaling.md), typed. Times are Unix milliseconds. */

import type { types } from 'mediasoup-client'

export type Kind = 'audio' | 'video'

/** What one of our producers shows. A foreign client may send none of these; then `sourceOf` guesses from the kind. */
export type Source = 'mic' | 'camera' | 'screen' | 'screen-audio'

export type ErrorCode =
  | 'bad_request'
  | 'unknown_method'
  | 'duplicate_id'
  | 'not_joined'
  | 'already_joined'
  | 'unauthorized'
  | 'forbidden'
  | 'not_found'
  | 'bad_state'
  | 'unsupported'
  | 'limit'
  | 'unavailable'
  | 'internal'

export interface ProducerInfo {
  id: string
  kind: Kind
  paused: boolean
  appData: Record<string, unknown>
}

export interface Peer {
  id: string
  displayName: string
  handRaised: boolean
  joinedAt: number
  producers: ProducerInfo[]
}

export interface ChatMessage {
  id: string
  peerId: string
  displayName: string
  text: string
  at: number
}

export interface TransportInfo {
  id: string
  iceParameters: types.IceParameters
  iceCandidates: types.IceCandidate[]
  dtlsParameters: types.DtlsParameters
}

export interface ConsumerInfo {
  id: string
  peerId: string
  producerId: string
  kind: Kind
  rtpParameters: types.RtpParameters
  type: string
  producerPaused: boolean
  appData: Record<string, unknown>
}

export interface JoinReply {
  peerId: string
  resume: string
  room: string
  iceServers: RTCIceServer[]
  routerRtpCapabilities: types.RtpCapabilities
  peers: Peer[]
  chat: ChatMessage[]
}

type Empty = Record<string, never>
type OneProducer = { producerId: string }
type OneConsumer = { consumerId: string }
type OneTransport = { transportId: string }

/** Request and reply of every method that this client uses. */
export interface Methods {
  getRouterRtpCapabilities: [{ room: string }, { routerRtpCapabilities: types.RtpCapabilities }]
  join: [
    { room: string; displayName: string; token?: string; resume?: string; rtpCapabilities: types.RtpCapabilities },
    JoinReply,
  ]
  leave: [Empty, Empty]
  createWebRtcTransport: [{ direction: 'send' | 'recv' }, TransportInfo]
  connectWebRtcTransport: [OneTransport & { dtlsParameters: types.DtlsParameters }, Empty]
  restartIce: [OneTransport, { iceParameters: types.IceParameters }]
  closeTransport: [OneTransport, Empty]
  produce: [
    OneTransport & { kind: Kind; rtpParameters: types.RtpParameters; paused?: boolean; appData: types.AppData },
    { id: string },
  ]
  closeProducer: [OneProducer, Empty]
  pauseProducer: [OneProducer, Empty]
  resumeProducer: [OneProducer, Empty]
  pauseConsumer: [OneConsumer, Empty]
  resumeConsumer: [OneConsumer, Empty]
  closeConsumer: [OneConsumer, Empty]
  requestConsumerKeyFrame: [OneConsumer, Empty]
  setConsumerView: [OneConsumer & View, Empty]
  chat: [{ text: string }, { id: string; at: number }]
  raiseHand: [{ raised: boolean }, Empty]
  changeDisplayName: [{ displayName: string }, Empty]
}

/** How a picture is shown: the server sends no more than that needs. Pixels of the screen. */
export interface View {
  width: number
  height: number
  hidden: boolean
}

type PeerProducer = { peerId: string; producerId: string }

/** The data of every notification. */
export interface Notifications {
  newPeer: Peer
  peerLeft: { peerId: string; reason: 'left' | 'lost' | 'replaced' | 'room-closed' }
  peerChanged: { peerId: string; displayName?: string; handRaised?: boolean }
  newProducer: PeerProducer & { kind: Kind; paused: boolean; appData: Record<string, unknown> }
  producerClosed: PeerProducer
  producerPaused: PeerProducer
  producerResumed: PeerProducer
  newConsumer: ConsumerInfo
  consumerClosed: { consumerId: string; reason: string }
  consumerPaused: OneConsumer
  consumerResumed: OneConsumer
  consumerLayersChanged: { consumerId: string; spatialLayer: number | null; temporalLayer: number | null }
  consumerHeld: { consumerId: string; held: boolean }
  /** By encoding; empty: send all. */
  producerEncodingsWanted: { producerId: string; wanted: boolean[] }
  activeSpeaker: { peerId: string | null; speaking: string[] }
  transportState: { transportId: string; iceState: string; dtlsState: string }
  transportClosed: { transportId: string; reason: string }
  chat: ChatMessage
  roomClosed: { reason: string }
  serverStopping: { reconnectAfterMs: number }
}

export type Notification = { [N in keyof Notifications]: { method: N; data: Notifications[N] } }[keyof Notifications]

const SOURCES: readonly unknown[] = ['mic', 'camera', 'screen', 'screen-audio'] satisfies Source[]

/** What a producer shows: its `appData.source`, or for a foreign client the usual thing of its kind. */
export function sourceOf(kind: Kind, appData: Record<string, unknown>): Source {
  if (SOURCES.includes(appData.source)) return appData.source as Source
  return kind === 'audio' ? 'mic' : 'camera'
}
