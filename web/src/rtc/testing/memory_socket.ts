/** An in-memory WebSocket and a signaling server behind it that follows docs/signaling.md as far as a test needs. */

import { testFakeParameters } from 'mediasoup-client'
import type { ErrorCode, JoinReply, Notifications } from '../types'

type Handler = (data: never) => unknown

/** Thrown by a handler to refuse a request. */
export class Refusal extends Error {
  constructor(readonly code: ErrorCode) {
    super(`refused: ${code}`)
  }
}

export class MemorySocket {
  static readonly OPEN = 1
  readyState: WebSocket['readyState'] = 0
  onopen: WebSocket['onopen'] = null
  onmessage: WebSocket['onmessage'] = null
  onclose: WebSocket['onclose'] = null

  constructor(private readonly server: MemoryServer) {}

  accept(): void {
    this.readyState = 1
    this.onopen?.call(this as never, {} as Event)
  }

  send(text: string): void {
    this.server.receive(this, text)
  }

  deliver(frame: unknown): void {
    if (this.readyState === 1) this.onmessage?.call(this as never, { data: JSON.stringify(frame) } as MessageEvent)
  }

  close(code = 1005): void {
    if (this.readyState === 3) return
    this.readyState = 3
    this.onclose?.call(this as never, { code } as CloseEvent)
  }
}

export class MemoryServer {
  readonly sockets: MemorySocket[] = []
  readonly requests: { method: string; data: Record<string, unknown> }[] = []
  /** Methods that get no answer. */
  readonly silent = new Set<string>()
  reachable = true
  private ids = 0

  handlers: Record<string, Handler> = {
    getRouterRtpCapabilities: () => ({ routerRtpCapabilities: testFakeParameters.generateRouterRtpCapabilities() }),
    join: () => this.joinReply(),
    createWebRtcTransport: () => testFakeParameters.generateTransportRemoteParameters(),
    produce: () => ({ id: `producer-${++this.ids}` }),
    chat: () => ({ id: `chat-${++this.ids}`, at: 1_000 }),
    restartIce: () => ({ iceParameters: { usernameFragment: 'new', password: 'new' } }),
  }

  readonly createSocket = (): MemorySocket => {
    const socket = new MemorySocket(this)
    this.sockets.push(socket)
    queueMicrotask(() => (this.reachable ? socket.accept() : socket.close(1006)))
    return socket
  }

  get socket(): MemorySocket {
    return this.sockets.at(-1) as MemorySocket
  }

  joinReply(change: Partial<JoinReply> = {}): JoinReply {
    const routerRtpCapabilities = testFakeParameters.generateRouterRtpCapabilities()
    const fixed = { peerId: 'me', resume: 'secret', room: 'room', iceServers: [], peers: [], chat: [] }
    return { ...fixed, routerRtpCapabilities, ...change }
  }

  receive(socket: MemorySocket, text: string): void {
    const { id, method, data } = JSON.parse(text)
    this.requests.push({ method, data })
    if (this.silent.has(method)) return
    queueMicrotask(() => {
      try {
        socket.deliver({ id, ok: true, data: this.handlers[method]?.(data as never) ?? {} })
      } catch (error) {
        const { code, message } = error as Refusal
        socket.deliver({ id, ok: false, error: { code, message } })
      }
    })
  }

  notify<N extends keyof Notifications>(method: N, data: Notifications[N]): void {
    this.socket.deliver({ method, data })
  }

  /** The methods asked so far, in order. */
  get methods(): string[] {
    return this.requests.map(({ method }) => method)
  }

  dataOf(method: string): Record<string, unknown>[] {
    return this.requests.filter((one) => one.method === method).map(({ data }) => data)
  }
}
