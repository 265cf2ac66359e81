/**
 * One person's part in one room, from the first join to leaving. It owns the socket and, one after the other, the
 * sessions on it: when the socket is lost the peer joins again with its `resume` secret and builds its media anew, while
 * the old media plays on until the new session stands.
 *
 * The state is an immutable value; every change makes a new one and calls the subscribers.
 */

import { Device } from 'mediasoup-client'
import { type LocalSource, type MediaEvents, MediaSession, type MediaState, type RemoteStream } from './media_session'
import { follow, type Roster } from './roster'
import { type CloseReason, Signaling, SignalingError } from './signaling'
import type { JoinReply, Notification, Source, View } from './types'

export type CallStatus = 'connecting' | 'joined' | 'reconnecting' | 'ended'
export type EndReason = CloseReason | 'room-closed' | 'failed'

export interface CallState extends Roster {
  status: CallStatus
  /** Set while reconnecting because the server said that it stops. */
  serverStopping: boolean
  media: MediaState
  peerId: string | null
  displayName: string
  handRaised: boolean
  streams: RemoteStream[]
  /** The peer who has the floor, as the server hears it. */
  speaker: string | null
  /** The last thing that went wrong without ending the call. */
  problem: { error: Error; source: Source | null } | null
  end: { reason: EndReason; error: Error | null } | null
}

export interface CallOptions {
  /** Address of the WebSocket, `ws://host/ws` or `wss://host/ws`. */
  url: string
  room: string
  displayName: string
  /** A join token, where the server asks for one. */
  token?: string
  /** Where the resume secret outlives a reload: `sessionStorage` in a browser. */
  secrets?: Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>
  createDevice?: () => Promise<Device>
  createSignaling?: (url: string, events: ConstructorParameters<typeof Signaling>[1]) => Signaling
}

/** Refusals that another try would not change. */
const FINAL: ReadonlySet<string> = new Set(['bad_request', 'unauthorized', 'forbidden', 'limit', 'unsupported'])

export class Call {
  private readonly signaling: Signaling
  private readonly wanted = new Map<Source, LocalSource>()
  private readonly listeners = new Set<(state: CallState) => void>()
  private readonly secretKey: string
  private session: MediaSession | null = null
  private early: Notification[] | null = null
  private attempt = 0
  private current: CallState

  constructor(private readonly options: CallOptions) {
    const createSignaling = options.createSignaling ?? ((url, events) => new Signaling(url, events))
    this.secretKey = `sightline.resume.${options.room}`
    this.current = {
      status: 'connecting',
      serverStopping: false,
      media: 'fine',
      peerId: null,
      displayName: options.displayName.trim(),
      handRaised: false,
      peers: [],
      chat: [],
      streams: [],
      speaker: null,
      problem: null,
      end: null,
    }
    this.signaling = createSignaling(options.url, {
      onOpen: () => void this.enter(),
      onLost: () => this.onLost(),
      onClosed: (reason) => this.finish(reason, null),
      onNotification: (notification) => this.onNotification(notification),
    })
  }

  get state(): CallState {
    return this.current
  }

  /** Calls back after each change; the function given back ends that. */
  subscribe(listener: (state: CallState) => void): () => void {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  join(): void {
    this.signaling.connect()
  }

  /** Tell the server, stop sending and receiving. The given inputs are not stopped: they are their owner's. */
  leave(): void {
    if (this.current.end) return
    if (this.current.status === 'joined') this.signaling.request('leave', {}).catch(() => {})
    this.finish('left', null)
  }

  /** The network is said to be back: don't wait for the next try. */
  hurry(): void {
    this.signaling.connectNow()
  }

  /** Send `stream` as that source (null: stop sending it); `paused` keeps it announced but silent. */
  setSource(source: Source, stream: MediaStreamTrack | null, paused = false): Promise<void> {
    if (stream) this.wanted.set(source, { stream, paused })
    else this.wanted.delete(source)
    return this.session?.sync(source) ?? Promise.resolve()
  }

  /** How large a stream is shown; the server sends what that needs. */
  show(consumerId: string, view: View): void {
    this.session?.show(consumerId, view)
  }

  /** Raises SignalingError. */
  async sendChat(text: string): Promise<void> {
    const { id, at } = await this.signaling.request('chat', { text })
    const { peerId, displayName } = this.current
    // The server may also send our own message back; `follow` knows it by its id.
    this.set(follow(this.current, { method: 'chat', data: { id, at, text, peerId: peerId ?? '', displayName } }))
  }

  /** Raises SignalingError. */
  async raiseHand(raised: boolean): Promise<void> {
    await this.signaling.request('raiseHand', { raised })
    this.set({ handRaised: raised })
  }

  /** The getStats reports of everything sent and received, with what each is. */
  async reports(): ReturnType<MediaSession['reports']> {
    return (await this.session?.reports()) ?? []
  }

  /** All getStats rows of all streams, flat, each with `stream`, `peerId` (null: our own) and `source`. */
  async stats(): Promise<Record<string, unknown>[]> {
    const rows: Record<string, unknown>[] = []
    for (const { id, peerId, source, report } of await this.reports()) {
      for (const row of report.values()) rows.push({ ...row, stream: id, peerId, source })
    }
    return rows
  }

  // ---- sessions ----

  /** A socket is open: join on it, then build the media. */
  private async enter(): Promise<void> {
    const attempt = ++this.attempt
    const { room, token, secrets } = this.options
    this.early = []
    try {
      const device = await (this.options.createDevice ?? Device.factory)()
      const { routerRtpCapabilities } = await this.signaling.request('getRouterRtpCapabilities', { room })
      await device.load({ routerRtpCapabilities })
      const reply = await this.signaling.request('join', {
        room,
        displayName: this.current.displayName,
        token,
        resume: secrets?.getItem(this.secretKey) ?? undefined,
        rtpCapabilities: device.recvRtpCapabilities,
      })
      if (attempt !== this.attempt || this.current.end) return
      secrets?.setItem(this.secretKey, reply.resume)
      await this.begin(device, reply)
    } catch (error) {
      if (attempt === this.attempt && !this.current.end) this.onEnterFailed(error as Error)
    }
  }

  private async begin(device: Device, reply: JoinReply): Promise<void> {
    this.session?.close()
    const session = new MediaSession(this.signaling, device, reply.iceServers, this.wanted, this.mediaEvents())
    this.session = session
    this.signaling.confirm()
    const { peerId, peers, chat } = reply
    const others = peers.filter(({ id }) => id !== peerId)
    const fresh = { serverStopping: false, media: 'fine', problem: null } as const
    this.set({ ...fresh, status: 'joined', streams: [], speaker: null, peerId, peers: others, chat })
    const early = this.early ?? []
    this.early = null
    for (const notification of early) this.onNotification(notification)
    // The server forgets a raised hand with the old session.
    if (this.current.handRaised) this.raiseHand(true).catch(() => {})
    await session.start()
  }

  private onEnterFailed(error: Error): void {
    if (error instanceof SignalingError && !FINAL.has(error.code)) this.signaling.reset()
    else this.finish('failed', error)
  }

  private onLost(): void {
    this.attempt++
    this.early = null
    this.set({ status: this.current.status === 'connecting' ? 'connecting' : 'reconnecting' })
  }

  private finish(reason: EndReason, error: Error | null): void {
    if (this.current.end) return
    this.attempt++
    this.set({ status: 'ended', end: { reason, error }, streams: [], peers: [] })
    this.options.secrets?.removeItem(this.secretKey)
    this.session?.close()
    this.session = null
    this.signaling.close()
  }

  private onNotification(notification: Notification): void {
    if (this.current.end) return
    if (this.early) {
      this.early.push(notification) // it came before join's reply was worked through
      return
    }
    if (notification.method === 'roomClosed') this.finish('room-closed', null)
    if (notification.method === 'serverStopping') this.set({ serverStopping: true })
    if (notification.method === 'activeSpeaker') this.set({ speaker: notification.data.peerId })
    this.session?.notify(notification)
    const roster = follow(this.current, notification)
    if (roster !== this.current) this.set(roster)
  }

  private mediaEvents(): MediaEvents {
    return {
      onStreams: (streams) => this.set({ streams }),
      onMediaState: (media) => this.set({ media }),
      onProblem: (error, source) => this.set({ problem: { error, source } }),
    }
  }

  private set(change: Partial<CallState>): void {
    this.current = { ...this.current, ...change }
    for (const listener of this.listeners) listener(this.current)
  }
}
