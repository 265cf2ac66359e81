/** The WebSocket of docs/signaling.md: requests with replies, notifications, and connecting anew when it is lost. */

import type { ErrorCode, Methods, Notification } from './types'

export const REQUEST_TIMEOUT_MS = 10_000
export const CONNECT_TIMEOUT_MS = 8_000
const FIRST_DELAY_MS = 300
const LONGEST_DELAY_MS = 5_000

/** Close codes after which connecting anew is wrong: another socket took this peer over, or policy refused us. */
const REPLACED = 4001
const POLICY = 1008
const ABNORMAL = 1006

/** A refused request, a request without an answer (`timeout`), or one whose socket was lost (`disconnected`). */
export class SignalingError extends Error {
  constructor(
    readonly code: ErrorCode | 'timeout' | 'disconnected',
    message: string,
  ) {
    super(message)
    this.name = 'SignalingError'
  }
}

export type CloseReason = 'left' | 'replaced' | 'refused'

export interface SignalingEvents {
  /** A socket is open; after a loss it is a new one, and the server knows nothing of it yet. */
  onOpen: () => void
  /** The socket is lost; another is tried in `delayMs`. */
  onLost: (delayMs: number) => void
  /** No further socket is tried. */
  onClosed: (reason: CloseReason) => void
  onNotification: (notification: Notification) => void
}

type SocketLike = Pick<WebSocket, 'send' | 'close' | 'onopen' | 'onmessage' | 'onclose' | 'readyState'>

interface Waiting {
  method: string
  resolve: (data: never) => void
  reject: (error: SignalingError) => void
  timer: ReturnType<typeof setTimeout>
}

type Frame =
  | { id: number | null; ok: true; data: unknown }
  | { id: number | null; ok: false; error: { code: ErrorCode; message: string } }
  | { id?: undefined; method: string; data: unknown }

export class Signaling {
  private socket: SocketLike | null = null
  private waiting = new Map<number, Waiting>()
  private nextId = 1
  private failures = 0
  private heard = 0 // frames
  private announcedDelayMs = 0
  private timer: ReturnType<typeof setTimeout> | undefined
  private closed = false

  constructor(
    private readonly url: string,
    private readonly events: SignalingEvents,
    private readonly createSocket: (url: string) => SocketLike = (address) => new WebSocket(address),
  ) {}

  get isOpen(): boolean {
    return this.socket?.readyState === WebSocket.OPEN
  }

  /** Open a socket, and another whenever it is lost, until `close`. */
  connect(): void {
    if (this.closed || this.socket) return
    const socket = this.createSocket(this.url)
    this.socket = socket
    clearTimeout(this.timer)
    // A host that swallows packets would keep a socket in `connecting` for minutes.
    this.timer = setTimeout(() => socket.close(), CONNECT_TIMEOUT_MS)
    socket.onopen = () => {
      clearTimeout(this.timer)
      this.events.onOpen()
    }
    socket.onmessage = (event) => this.receive(String(event.data))
    socket.onclose = ({ code }) => {
      if (socket === this.socket) this.lost(code)
    }
  }

  /** Try at once instead of when the delay is over: the network is said to be back. */
  connectNow(): void {
    if (!this.socket) this.connect()
  }

  /** The session on this socket works: a later loss starts with the shortest delay again. */
  confirm(): void {
    this.failures = 0
  }

  /** Drop this socket and connect anew: it is dead, or a session on it could not be set up. */
  reset(): void {
    const { socket } = this
    socket?.close()
    // A dead socket's own `onclose` may take minutes.
    if (socket && socket === this.socket) this.lost(ABNORMAL)
  }

  close(): void {
    if (this.closed) return
    this.closed = true
    clearTimeout(this.timer)
    const { socket } = this
    this.socket = null
    socket?.close(1000)
    this.failAll('the call was left')
    this.events.onClosed('left')
  }

  /** Raises SignalingError: the server's refusal, or `timeout`, or `disconnected`. */
  request<M extends keyof Methods>(method: M, data: Methods[M][0]): Promise<Methods[M][1]> {
    const { socket } = this
    if (!socket || !this.isOpen) {
      return Promise.reject(new SignalingError('disconnected', `${method}: there is no connection to the server`))
    }
    return new Promise((resolve, reject) => {
      const id = this.nextId
      this.nextId = (this.nextId % 0x7fffffff) + 1
      const { heard } = this
      const timer = setTimeout(() => {
        this.waiting.delete(id)
        const seconds = REQUEST_TIMEOUT_MS / 1000
        reject(new SignalingError('timeout', `${method}: the server did not answer within ${seconds} seconds`))
        // After a change of network the browser may believe in a dead socket for long.
        if (heard === this.heard && socket === this.socket) this.reset()
      }, REQUEST_TIMEOUT_MS)
      this.waiting.set(id, { method, resolve, reject, timer })
      socket.send(JSON.stringify({ id, method, data }))
    })
  }

  private receive(text: string): void {
    this.heard += 1
    const frame = JSON.parse(text) as Frame
    if (frame.id === undefined) {
      const notification = frame as Notification
      if (notification.method === 'serverStopping') this.announcedDelayMs = notification.data.reconnectAfterMs
      this.events.onNotification(notification)
      return
    }
    const waiting = frame.id === null ? undefined : this.waiting.get(frame.id)
    if (!waiting || frame.id === null) return // its time was over, or it answers a frame that was none
    clearTimeout(waiting.timer)
    this.waiting.delete(frame.id)
    if (frame.ok) waiting.resolve(frame.data as never)
    else waiting.reject(new SignalingError(frame.error.code, `${waiting.method}: ${frame.error.message}`))
  }

  private lost(code: number): void {
    this.socket = null
    clearTimeout(this.timer)
    this.failAll('the connection to the server was lost')
    if (code === REPLACED || code === POLICY) {
      this.closed = true
      this.events.onClosed(code === REPLACED ? 'replaced' : 'refused')
      return
    }
    const backoff = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** this.failures)
    const delayMs = Math.max(this.announcedDelayMs, backoff)
    this.announcedDelayMs = 0
    this.failures += 1
    // From here on `timer` waits for the next try. onLost may call `close`, which ends it.
    this.timer = setTimeout(() => this.connect(), delayMs)
    this.events.onLost(delayMs)
  }

  private failAll(why: string): void {
    const all = [...this.waiting.values()]
    this.waiting.clear()
    for (const { method, reject, timer } of all) {
      clearTimeout(timer)
      reject(new SignalingError('disconnected', `${method}: ${why}`))
    }
  }
}
