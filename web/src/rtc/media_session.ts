/**
 * The media of one joined session: the Device's two transports, our producers and the consumers of the others.
 *
 * What is sent is a wish list (`wanted`, owned by the Call): `sync` makes the producers match it, so that the same code
 * serves a click, a rebuilt transport and a new session. A transport whose path breaks has its ICE restarted; one that
 * the server has closed, or that restarts do not mend, is made anew.
 */

import type { Device, types } from 'mediasoup-client'
import { activate, produceOptions } from './encodings'
import { type Signaling, SignalingError } from './signaling'
import { type ConsumerInfo, type Kind, type Notification, type Source, sourceOf, type View } from './types'

export interface LocalSource {
  stream: MediaStreamTrack
  paused: boolean
}

/** Something received. `paused` by its sender. */
export interface RemoteStream {
  consumerId: string
  producerId: string
  peerId: string
  kind: Kind
  source: Source
  track: MediaStreamTrack
  paused: boolean
  /** Our network has no room for it: the server holds it back. */
  held: boolean
}

export type MediaState = 'fine' | 'interrupted'

export interface MediaEvents {
  onStreams: (streams: RemoteStream[]) => void
  onMediaState: (state: MediaState) => void
  onProblem: (error: Error, source: Source | null) => void
}

type Direction = 'send' | 'recv'

const DISCONNECTED_PATIENCE_MS = 2_000 // a short loss mends itself; a restart in its midst would only cost time
const RESTART_PATIENCE_MS = 6_000
const RESTARTS = 3
const REBUILDS = 5

interface Sent {
  producer: types.Producer
  paused: boolean // as the server knows it
}

export class MediaSession {
  private readonly transports = new Map<Direction, types.Transport>()
  private readonly opening = new Map<Direction, Promise<types.Transport>>()
  private readonly timers = new Map<Direction, ReturnType<typeof setTimeout>>()
  private readonly restarts = new Map<Direction, number>()
  private readonly sent = new Map<Source, Sent>()
  private readonly chains = new Map<Source, Promise<void>>()
  private readonly announced = new Map<string, ConsumerInfo>()
  private readonly consumers = new Map<string, types.Consumer>()
  private readonly views = new Map<string, View>() // as the server knows them
  private streams: RemoteStream[] = []
  private closed = false

  constructor(
    private readonly signaling: Pick<Signaling, 'request'>,
    private readonly device: Device,
    private readonly iceServers: RTCIceServer[],
    private readonly wanted: ReadonlyMap<Source, LocalSource>,
    private readonly events: MediaEvents,
  ) {}

  /** Receive, which makes the server announce its consumers, and send what is wanted. */
  async start(): Promise<void> {
    await this.transport('recv')
    for (const source of this.wanted.keys()) void this.sync(source)
  }

  close(): void {
    this.closed = true
    for (const timer of this.timers.values()) clearTimeout(timer)
    for (const transport of this.transports.values()) transport.close()
    this.transports.clear()
    this.consumers.clear()
    this.sent.clear()
  }

  /** Make the producer of `source` match what is wanted. Changes of one source are made one after the other. */
  sync(source: Source): Promise<void> {
    const next = (this.chains.get(source) ?? Promise.resolve())
      .then(() => this.reconcile(source))
      .catch((error: Error) => this.report(error, source))
    this.chains.set(source, next)
    return next
  }

  notify(notification: Notification): void {
    switch (notification.method) {
      case 'newConsumer':
        void this.consume(notification.data)
        break
      case 'consumerClosed':
        this.dropConsumer(notification.data.consumerId)
        break
      case 'consumerPaused':
      case 'consumerResumed':
        this.setPaused(notification.data.consumerId, notification.method === 'consumerPaused')
        break
      case 'consumerHeld':
        this.change(notification.data.consumerId, { held: notification.data.held })
        break
      case 'producerEncodingsWanted':
        void this.sendWanted(notification.data.producerId, notification.data.wanted)
        break
      case 'transportClosed':
        for (const [direction, { id }] of this.transports) {
          if (id === notification.data.transportId) void this.rebuild(direction)
        }
        break
    }
  }

  /** Tell the server how large a stream is shown, if that is news. */
  show(consumerId: string, view: View): void {
    const known = this.views.get(consumerId)
    const same = known?.width === view.width && known.height === view.height && known.hidden === view.hidden
    if (same || !this.consumers.has(consumerId)) return
    this.views.set(consumerId, view)
    this.signaling.request('setConsumerView', { consumerId, ...view }).catch(() => this.views.delete(consumerId))
  }

  /** The getStats report of each stream, with what it is. */
  async reports(): Promise<{ id: string; peerId: string | null; source: Source; report: RTCStatsReport }[]> {
    const sending = [...this.sent].map(async ([source, { producer }]) => ({
      id: producer.id,
      peerId: null,
      source,
      report: await producer.getStats(),
    }))
    const receiving = this.streams.flatMap(({ consumerId, peerId, source }) => {
      const consumer = this.consumers.get(consumerId)
      return consumer ? [consumer.getStats().then((report) => ({ id: consumerId, peerId, source, report }))] : []
    })
    const settled = await Promise.allSettled([...sending, ...receiving])
    return settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : [])) // one closed meanwhile has none
  }

  // ---- transports ----

  private transport(direction: Direction): Promise<types.Transport> {
    const known = this.opening.get(direction)
    if (known) return known
    const opening = this.open(direction)
    this.opening.set(direction, opening)
    opening.catch(() => this.opening.delete(direction))
    return opening
  }

  private async open(direction: Direction): Promise<types.Transport> {
    const info = await this.signaling.request('createWebRtcTransport', { direction })
    if (this.closed) throw new SignalingError('disconnected', 'the session is over')
    const options = { ...info, iceServers: this.iceServers }
    const transport =
      direction === 'send' ? this.device.createSendTransport(options) : this.device.createRecvTransport(options)
    transport.on('connect', ({ dtlsParameters }, done, fail) => {
      this.signaling.request('connectWebRtcTransport', { transportId: transport.id, dtlsParameters }).then(done, fail)
    })
    transport.on('produce', ({ kind, rtpParameters, appData }, done, fail) => {
      const { source, paused } = appData as { source: Source; paused: boolean }
      const data = { transportId: transport.id, kind, rtpParameters, paused, appData: { source } }
      this.signaling.request('produce', data).then(done, fail)
    })
    transport.on('connectionstatechange', (state) => this.onConnectionState(direction, state))
    this.transports.set(direction, transport)
    return transport
  }

  private onConnectionState(direction: Direction, state: types.ConnectionState): void {
    clearTimeout(this.timers.get(direction))
    if (state === 'connected') this.restarts.set(direction, 0)
    else if (state === 'disconnected') this.restartIn(direction, DISCONNECTED_PATIENCE_MS)
    else if (state === 'failed') this.restartIn(direction, 0)
    const states = [...this.transports.values()].map((transport) => transport.connectionState)
    const broken = states.some((one) => one === 'disconnected' || one === 'failed')
    const mending = states.includes('connecting') && [...this.restarts.values()].some((count) => count > 0)
    this.events.onMediaState(broken || mending ? 'interrupted' : 'fine')
  }

  private restartIn(direction: Direction, delayMs: number): void {
    clearTimeout(this.timers.get(direction))
    this.timers.set(
      direction,
      setTimeout(() => void this.restart(direction), delayMs),
    )
  }

  private async restart(direction: Direction): Promise<void> {
    const transport = this.transports.get(direction)
    if (this.closed || !transport || transport.connectionState === 'connected') return
    const count = (this.restarts.get(direction) ?? 0) + 1
    if (count > RESTARTS) return this.rebuild(direction)
    this.restarts.set(direction, count)
    this.restartIn(direction, RESTART_PATIENCE_MS) // again, unless it is connected by then
    try {
      const { iceParameters } = await this.signaling.request('restartIce', { transportId: transport.id })
      await transport.restartIce({ iceParameters })
    } catch (error) {
      if (error instanceof SignalingError && error.code === 'not_found') await this.rebuild(direction)
    }
  }

  /** The transport is gone: make another, and on it all that the old one carried. */
  private async rebuild(direction: Direction): Promise<void> {
    clearTimeout(this.timers.get(direction))
    const old = this.transports.get(direction)
    if (this.closed || !old) return
    this.transports.delete(direction)
    this.opening.delete(direction)
    this.restarts.set(direction, 0)
    this.signaling.request('closeTransport', { transportId: old.id }).catch(() => {}) // mostly it is gone already
    old.close()
    if (direction === 'send') this.sent.clear()
    else this.dropAllConsumers()
    this.events.onMediaState('interrupted')
    for (let attempt = 1; !this.closed; attempt++) {
      try {
        await this.transport(direction)
        this.events.onMediaState('fine')
        if (direction === 'send') for (const source of this.wanted.keys()) void this.sync(source)
        return
      } catch (error) {
        if (attempt === REBUILDS || isDisconnected(error)) return this.report(error as Error, null)
        await new Promise((wake) => setTimeout(wake, 500 * 2 ** attempt))
      }
    }
  }

  // ---- producers ----

  private async reconcile(source: Source): Promise<void> {
    const wish = this.wanted.get(source)
    let sent = this.sent.get(source)
    if (this.closed) return
    if (!wish) {
      if (!sent) return
      this.sent.delete(source)
      sent.producer.close()
      await this.signaling.request('closeProducer', { producerId: sent.producer.id })
      return
    }
    if (!sent) {
      const kind = wish.stream.kind as Kind
      if (!this.device.canProduce(kind)) {
        throw new SignalingError('unsupported', `the browser and the server have no ${kind} codec in common`)
      }
      const transport = await this.transport('send')
      const { paused } = wish
      const producer = await transport.produce(produceOptions(source, wish.stream, paused))
      if (this.closed) return
      sent = { producer, paused }
      this.sent.set(source, sent)
    } else if (sent.producer.track !== wish.stream) {
      await sent.producer.replaceTrack({ track: wish.stream })
    }
    if (sent.paused !== wish.paused) {
      const producerId = sent.producer.id
      sent.paused = wish.paused
      if (wish.paused) sent.producer.pause()
      else sent.producer.resume()
      await this.signaling.request(wish.paused ? 'pauseProducer' : 'resumeProducer', { producerId })
    }
  }

  /** Nobody watches the other encodings: the browser need not encode and send them. */
  private async sendWanted(producerId: string, wanted: boolean[]): Promise<void> {
    const sent = [...this.sent.values()].find(({ producer }) => producer.id === producerId)
    const sender = sent?.producer.rtpSender
    if (!sender) return
    const parameters = sender.getParameters()
    // A browser that refuses goes on sending what it sent.
    if (activate(parameters.encodings, wanted)) await sender.setParameters(parameters).catch(() => {})
  }

  // ---- consumers ----

  private async consume(info: ConsumerInfo): Promise<void> {
    if (this.closed || this.announced.has(info.id)) return
    this.announced.set(info.id, info)
    try {
      const { id, producerId, kind, rtpParameters, peerId } = info
      const source = sourceOf(kind, info.appData)
      // One stream id for a person's voice and face, so that the browser keeps them in step; another for a shared screen.
      const streamId = `${peerId}:${source.startsWith('screen') ? 'screen' : 'person'}`
      const transport = await this.transport('recv')
      const consumer = await transport.consume({ id, producerId, kind, rtpParameters, streamId })
      const current = this.announced.get(id)
      if (!current) return consumer.close() // it was closed while it was made
      this.consumers.set(id, consumer)
      const paused = current.producerPaused
      const stream = { consumerId: id, producerId, peerId, kind, source, track: consumer.track, paused, held: false }
      this.setStreams([...this.streams, stream])
      await this.signaling.request('resumeConsumer', { consumerId: id })
    } catch (error) {
      // It may have been closed, or its transport rebuilt, meanwhile: then nobody waits for it.
      if (this.announced.get(info.id) === info) this.report(error as Error, null)
    }
  }

  private setPaused(consumerId: string, paused: boolean): void {
    const info = this.announced.get(consumerId)
    if (info) info.producerPaused = paused
    this.change(consumerId, { paused })
  }

  private change(consumerId: string, change: Partial<RemoteStream>): void {
    this.setStreams(this.streams.map((one) => (one.consumerId === consumerId ? { ...one, ...change } : one)))
  }

  private dropConsumer(consumerId: string): void {
    this.announced.delete(consumerId)
    this.consumers.get(consumerId)?.close()
    this.consumers.delete(consumerId)
    this.views.delete(consumerId)
    this.setStreams(this.streams.filter((one) => one.consumerId !== consumerId))
  }

  private dropAllConsumers(): void {
    this.announced.clear()
    this.consumers.clear() // closed with their transport
    this.views.clear()
    this.setStreams([])
  }

  private setStreams(streams: RemoteStream[]): void {
    this.streams = streams
    if (!this.closed) this.events.onStreams(streams)
  }

  private report(error: Error, source: Source | null): void {
    // A lost socket is the Call's to mend, with a new session.
    if (!this.closed && !isDisconnected(error)) this.events.onProblem(error, source)
  }
}

function isDisconnected(error: unknown): boolean {
  return error instanceof SignalingError && error.code === 'disconnected'
}
