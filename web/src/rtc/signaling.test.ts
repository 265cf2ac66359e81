import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { CONNECT_TIMEOUT_MS, REQUEST_TIMEOUT_MS, Signaling, type SignalingEvents } from './signaling'
import { MemoryServer, MemorySocket, Refusal } from './testing/memory_socket'

let server: MemoryServer
let events: { [E in keyof SignalingEvents]: ReturnType<typeof vi.fn<SignalingEvents[E]>> }
let signaling: Signaling

beforeEach(() => {
  vi.useFakeTimers()
  vi.stubGlobal('WebSocket', MemorySocket) // for WebSocket.OPEN
  server = new MemoryServer()
  events = { onOpen: vi.fn(), onLost: vi.fn(), onClosed: vi.fn(), onNotification: vi.fn() }
  signaling = new Signaling('ws://test/ws', events, server.createSocket)
})

afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

async function connect() {
  signaling.connect()
  await vi.advanceTimersByTimeAsync(0)
}

describe('requests', () => {
  it('resolve with the data of the reply that bears their id, in any order', async () => {
    await connect()
    server.silent.add('chat')
    const first = signaling.request('chat', { text: 'one' })
    const second = signaling.request('chat', { text: 'two' })
    server.socket.deliver({ id: 2, ok: true, data: { id: 'b', at: 2 } })
    server.socket.deliver({ id: 1, ok: true, data: { id: 'a', at: 1 } })
    expect(await first).toEqual({ id: 'a', at: 1 })
    expect(await second).toEqual({ id: 'b', at: 2 })
  })

  it('are refused with the code and words of the server', async () => {
    await connect()
    server.handlers.raiseHand = () => {
      throw new Refusal('not_joined')
    }
    await expect(signaling.request('raiseHand', { raised: true })).rejects.toMatchObject({
      code: 'not_joined',
      message: 'raiseHand: refused: not_joined',
    })
  })

  it('end with `timeout` when nothing answers, and a late answer does no harm', async () => {
    await connect()
    server.silent.add('chat')
    const refused = expect(signaling.request('chat', { text: 'x' })).rejects.toMatchObject({ code: 'timeout' })
    await vi.advanceTimersByTimeAsync(REQUEST_TIMEOUT_MS)
    await refused
    server.socket.deliver({ id: 1, ok: true, data: {} })
  })

  it('find a dead socket: one without any word since the request is given up and another is tried', async () => {
    await connect()
    server.silent.add('chat')
    signaling.request('chat', { text: 'x' }).catch(() => {})
    await vi.advanceTimersByTimeAsync(REQUEST_TIMEOUT_MS)
    expect(events.onLost).toHaveBeenCalledTimes(1)
    await vi.advanceTimersByTimeAsync(5_000)
    expect(events.onOpen).toHaveBeenCalledTimes(2)
  })

  it('do not give up a socket on which something else was heard', async () => {
    await connect()
    server.silent.add('chat')
    signaling.request('chat', { text: 'x' }).catch(() => {})
    server.socket.deliver({ method: 'peerLeft', data: { peerId: 'p', reason: 'left' } })
    await vi.advanceTimersByTimeAsync(REQUEST_TIMEOUT_MS)
    expect(events.onLost).not.toHaveBeenCalled()
  })

  it('end with `disconnected` when the socket is lost, and at once when there is none', async () => {
    await connect()
    server.silent.add('chat')
    const refused = expect(signaling.request('chat', { text: 'x' })).rejects.toMatchObject({ code: 'disconnected' })
    server.socket.close(1006)
    await refused
    await expect(signaling.request('chat', { text: 'y' })).rejects.toMatchObject({ code: 'disconnected' })
  })
})

it('hands on notifications', async () => {
  await connect()
  server.notify('consumerPaused', { consumerId: 'c' })
  expect(events.onNotification).toHaveBeenCalledExactlyOnceWith({
    method: 'consumerPaused',
    data: { consumerId: 'c' },
  })
})

describe('a lost socket', () => {
  it('is replaced, with longer delays while the server is away, and the shortest again after success', async () => {
    await connect()
    server.reachable = false
    server.socket.close(1006)
    await vi.advanceTimersByTimeAsync(20_000)
    const delays = events.onLost.mock.calls.map(([delay]) => delay)
    expect(delays.slice(0, 6)).toEqual([300, 600, 1200, 2400, 4800, 5000])
    server.reachable = true
    await vi.advanceTimersByTimeAsync(5_000)
    expect(events.onOpen).toHaveBeenCalledTimes(2)
    signaling.confirm()
    server.socket.close(1006)
    expect(events.onLost).toHaveBeenLastCalledWith(300)
  })

  it('waits as long as a stopping server asks for', async () => {
    await connect()
    server.notify('serverStopping', { reconnectAfterMs: 2_000 })
    server.socket.close(1001)
    expect(events.onLost).toHaveBeenCalledExactlyOnceWith(2_000)
    await vi.advanceTimersByTimeAsync(1_999)
    expect(server.sockets).toHaveLength(1)
    await vi.advanceTimersByTimeAsync(1)
    expect(server.sockets).toHaveLength(2)
  })

  it('is replaced at once when the network is said to be back', async () => {
    await connect()
    server.socket.close(1006)
    signaling.connectNow()
    await vi.advanceTimersByTimeAsync(0)
    expect(events.onOpen).toHaveBeenCalledTimes(2)
    await vi.advanceTimersByTimeAsync(10_000)
    expect(server.sockets).toHaveLength(2)
  })

  it.each([
    [4001, 'replaced'],
    [1008, 'refused'],
  ] as const)('with code %i is not replaced: %s', async (code, reason) => {
    await connect()
    server.socket.close(code)
    expect(events.onClosed).toHaveBeenCalledExactlyOnceWith(reason)
    await vi.advanceTimersByTimeAsync(60_000)
    expect(server.sockets).toHaveLength(1)
  })
})

it('gives up a socket that stays connecting', async () => {
  const stuck = new MemorySocket(server)
  const create = vi.fn(() => stuck)
  new Signaling('ws://test/ws', events, create).connect()
  await vi.advanceTimersByTimeAsync(CONNECT_TIMEOUT_MS)
  expect(events.onLost).toHaveBeenCalledOnce()
})

it('after close neither reconnects nor leaves a request waiting', async () => {
  await connect()
  server.silent.add('chat')
  const refused = expect(signaling.request('chat', { text: 'x' })).rejects.toMatchObject({ code: 'disconnected' })
  signaling.close()
  await refused
  await vi.advanceTimersByTimeAsync(60_000)
  expect(server.sockets).toHaveLength(1)
  expect(events.onClosed).toHaveBeenCalledExactlyOnceWith('left')
})
