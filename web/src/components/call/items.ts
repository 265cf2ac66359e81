import type { CallState } from '@/rtc/call'
import type { Peer, Source } from '@/rtc/types'
import { sourceOf } from '@/rtc/types'

/** One thing to show: somebody's camera or somebody's screen. */
export interface Item {
  /** The peer's id, with `:screen` for a screen. */
  key: string
  kind: 'camera' | 'screen'
  peerId: string
  name: string
  local: boolean
  micOn: boolean
  handRaised: boolean
  stream: MediaStreamTrack | null
  /** Null for our own. */
  consumerId: string | null
  held: boolean
}

interface Inputs {
  camera: MediaStreamTrack | null
  screen: MediaStreamTrack | null
  micOn: boolean
}

type Shown = Pick<Item, 'stream' | 'consumerId' | 'held'>

function micOnOf(peer: Peer): boolean {
  return peer.producers.some(({ kind, paused, appData }) => sourceOf(kind, appData) === 'mic' && !paused)
}

/** Everything to show: the others in the order of their coming, then ourselves; screens before all. */
export function itemsOf(call: CallState, inputs: Inputs): Item[] {
  const streamOf = (peerId: string, source: Source): Shown => {
    const found = call.streams.find((one) => one.peerId === peerId && one.source === source && !one.paused)
    return { stream: found?.track ?? null, consumerId: found?.consumerId ?? null, held: found?.held ?? false }
  }
  const own = (stream: MediaStreamTrack | null): Shown => ({ stream, consumerId: null, held: false })
  const others = [...call.peers]
    .sort((one, other) => one.joinedAt - other.joinedAt)
    .map((peer) => ({
      camera: streamOf(peer.id, 'camera'),
      screen: streamOf(peer.id, 'screen'),
      shared: { peerId: peer.id, name: peer.displayName, local: false, micOn: micOnOf(peer) },
      handRaised: peer.handRaised,
    }))
  const me = {
    camera: own(inputs.camera),
    screen: own(inputs.screen),
    shared: { peerId: call.peerId ?? '', name: call.displayName, local: true, micOn: inputs.micOn },
    handRaised: call.handRaised,
  }
  const all = [...others, me]
  const screens = all.flatMap(({ shared, screen }): Item[] =>
    screen.stream ? [{ ...shared, ...screen, key: `${shared.peerId}:screen`, kind: 'screen', handRaised: false }] : [],
  )
  const cameras = all.map(
    ({ shared, camera, handRaised }): Item => ({
      ...shared,
      key: shared.peerId,
      kind: 'camera',
      handRaised,
      ...camera,
    }),
  )
  return [...screens, ...cameras]
}

/** What the stage shows: the pinned item, else a shared screen; null: a plain grid. */
export function stageOf(items: Item[], pinned: string | null): Item | null {
  return items.find(({ key }) => key === pinned) ?? items.find(({ kind }) => kind === 'screen') ?? null
}
