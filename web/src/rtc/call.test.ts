import { FakeMediaStreamTrack } from 'fake-mediastreamtrack'
import { Device, FakeHandler, testFakeParameters, type types } from 'mediasoup-client'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Call } from './call'
import { Signaling } from './signaling'
import { MemoryServer, MemorySocket, Refusal } from './testing/memory_socket'
import type { ConsumerInfo, Peer } from './types'

const ANNA: Peer = { id: 'anna', displayName: 'Anna', handRaised: false, joinedAt: 1, producers: [] }

let server: MemoryServer
let secrets: Map<string, string>
let transports: types.Transport[]
let call: Call

/** A real Device whose handler touches no network. */
async function createDevice(): Promise<Device> {
  const device = new Device({ handlerFactory: FakeHandler.createFactory(testFakeParameters) })
  device.observer.on('newtransport', (transport) => transports.push(transport))
  return device
}

function newCall(): Call {
  return new Call({
    url: 'ws://test/ws',
    room: 'room',
    displayName: ' Me ',
    secrets: {
      getItem: (key) => secrets.get(key) ?? null,
      setItem: (key, value) => void secrets.set(key, value),
      removeItem: (key) => void secrets.delete(key),
    },
    createDevice,
    createSignaling: (url, events) => new Signaling(url, events, server.createSocket),
  })
}

const settle = (ms = 10) => vi.advanceTimersByTimeAsync(ms)
const input = (kind: 'audio' | 'video') => new FakeMediaStreamTrack({ kind }) as MediaStreamTrack

function consumerInfo(id: string, source: string, codecMimeType: string): ConsumerInfo {
  const { producerId, kind, rtpParameters } = testFakeParameters.generateConsumerRemoteParameters({ id, codecMimeType })
  return {
    id,
    peerId: 'anna',
    producerId,
    kind: kind as 'audio' | 'video',
    rtpParameters,
    type: 'simple',
    producerPaused: false,
    appData: { source },
  }
}

function transport(direction: 'send' | 'recv'): types.Transport {
  return transports.findLast((one) => one.direction === direction) as types.Transport
}

/** What the browser would say of the path; `handler` is the Device's own part that says it. */
function pathIs(direction: 'send' | 'recv', state: types.ConnectionState): void {
  transport(direction).handler.emit('@connectionstatechange', state)
}

beforeEach(() => {
  vi.useFakeTimers()
  vi.stubGlobal('WebSocket', MemorySocket)
  server = new MemoryServer()
  secrets = new Map()
  transports = []
  call = newCall()
})

afterEach(() => {
  call.leave()
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

describe('joining', () => {
  it('loads the Device before it joins, then receives, then sends what is wanted', async () => {
    void call.setSource('mic', input('audio'))
    void call.setSource('camera', input('video'))
    call.join()
    await settle()
    expect(call.state).toMatchObject({ status: 'joined', peerId: 'me' })
    expect(server.methods.slice(0, 3)).toEqual(['getRouterRtpCapabilities', 'join', 'createWebRtcTransport'])
    expect(server.dataOf('join')[0]).toMatchObject({ room: 'room', displayName: 'Me' })
    expect(server.dataOf('join')[0]).toHaveProperty('rtpCapabilities.codecs')
    expect(server.dataOf('createWebRtcTransport')).toEqual([{ direction: 'recv' }, { direction: 'send' }])
    expect(server.dataOf('connectWebRtcTransport')).toHaveLength(1)
    expect(server.dataOf('produce').map(({ appData, paused }) => [appData, paused])).toEqual([
      [{ source: 'mic' }, false],
      [{ source: 'camera' }, false],
    ])
    expect(server.dataOf('produce')[1]).toHaveProperty('rtpParameters.encodings.length', 3)
  })

  it('as a viewer makes no send transport', async () => {
    call.join()
    await settle()
    expect(server.dataOf('createWebRtcTransport')).toEqual([{ direction: 'recv' }])
  })

  it('keeps the resume secret for a reload, and forgets it on leaving', async () => {
    call.join()
    await settle()
    expect([...secrets]).toEqual([['sightline.resume.room', 'secret']])
    const reloaded = newCall()
    reloaded.join()
    await settle()
    expect(server.dataOf('join')[1]).toMatchObject({ resume: 'secret' })
    reloaded.leave()
    expect([...secrets]).toEqual([])
  })

  it.each(['limit', 'unauthorized', 'forbidden'] as const)('ends when refused with %s', async (code) => {
    server.handlers.join = () => {
      throw new Refusal(code)
    }
    call.join()
    await settle(60_000)
    expect(call.state.end).toMatchObject({ reason: 'failed', error: { code } })
    expect(server.sockets).toHaveLength(1)
  })

  it('is tried again when the server is not ready for it', async () => {
    let tries = 0
    server.handlers.join = () => {
      if (++tries < 3) throw new Refusal('unavailable')
      return server.joinReply()
    }
    call.join()
    await settle(2_000)
    expect(call.state.status).toBe('joined')
    expect(server.sockets).toHaveLength(3)
  })
})

describe('sending', () => {
  beforeEach(async () => {
    call.join()
    await settle()
  })

  it('mutes by pausing, and does not announce the same twice', async () => {
    const mic = input('audio')
    await call.setSource('mic', mic)
    await call.setSource('mic', mic, true)
    await call.setSource('mic', mic, true)
    expect(mic.enabled).toBe(false)
    await call.setSource('mic', mic, false)
    expect(mic.enabled).toBe(true)
    expect(server.methods.filter((method) => /Producer|produce/.test(method))).toEqual([
      'produce',
      'pauseProducer',
      'resumeProducer',
    ])
  })

  it('starts muted when it is wanted so', async () => {
    await call.setSource('mic', input('audio'), true)
    expect(server.dataOf('produce')[0]).toMatchObject({ paused: true })
    expect(server.methods).not.toContain('pauseProducer')
  })

  it('closes a camera, replaces another one in place', async () => {
    await call.setSource('camera', input('video'))
    await call.setSource('camera', input('video'))
    await call.setSource('camera', null)
    expect(server.dataOf('produce')).toHaveLength(1)
    expect(server.dataOf('closeProducer')).toHaveLength(1)
  })

  it('ends with the last of quick changes', async () => {
    const camera = input('video')
    const changes = [camera, null, camera, null].map((stream) => call.setSource('camera', stream))
    await Promise.all(changes)
    expect(server.dataOf('produce').length).toBe(server.dataOf('closeProducer').length)
  })

  it('tells of a refused source and stays in the call', async () => {
    server.handlers.produce = () => {
      throw new Refusal('forbidden')
    }
    await call.setSource('camera', input('video'))
    expect(call.state).toMatchObject({ status: 'joined', problem: { source: 'camera', error: { code: 'forbidden' } } })
  })

  it('forgets what went wrong once a new session stands', async () => {
    server.handlers.produce = () => {
      throw new Refusal('unavailable')
    }
    await call.setSource('camera', input('video'))
    expect(call.state.problem).not.toBeNull()
    delete server.handlers.produce
    server.socket.close(1006)
    await settle(1_000)
    expect(call.state).toMatchObject({ status: 'joined', problem: null })
  })
})

describe('receiving', () => {
  beforeEach(async () => {
    server.handlers.join = () => server.joinReply({ peers: [structuredClone(ANNA)] })
    call.join()
    await settle()
  })

  it('makes the receiver, then has the consumer resumed', async () => {
    server.notify('newConsumer', consumerInfo('c1', 'camera', 'video/VP8'))
    expect(server.methods).not.toContain('resumeConsumer')
    await settle()
    expect(call.state.streams).toMatchObject([{ consumerId: 'c1', peerId: 'anna', source: 'camera', kind: 'video' }])
    expect(server.dataOf('resumeConsumer')).toEqual([{ consumerId: 'c1' }])
  })

  it('follows pause, resume and close of a consumer', async () => {
    server.notify('newConsumer', consumerInfo('c1', 'mic', 'audio/opus'))
    await settle()
    server.notify('consumerPaused', { consumerId: 'c1' })
    expect(call.state.streams[0]?.paused).toBe(true)
    server.notify('consumerResumed', { consumerId: 'c1' })
    expect(call.state.streams[0]?.paused).toBe(false)
    const { track } = call.state.streams[0] as { track: MediaStreamTrack }
    server.notify('consumerClosed', { consumerId: 'c1', reason: 'producer-closed' })
    expect(call.state.streams).toEqual([])
    expect(track.readyState).toBe('ended')
  })

  it('tells the server how large a picture is shown, once for each change', async () => {
    const view = { width: 640, height: 360, hidden: false }
    call.show('c1', view) // not there yet
    server.notify('newConsumer', consumerInfo('c1', 'camera', 'video/VP8'))
    await settle()
    call.show('c1', view)
    call.show('c1', { ...view })
    call.show('c1', { ...view, hidden: true })
    expect(server.dataOf('setConsumerView')).toEqual([
      { consumerId: 'c1', ...view },
      { consumerId: 'c1', ...view, hidden: true },
    ])
  })

  it('knows what is held back, and who has the floor', async () => {
    server.notify('newConsumer', consumerInfo('c1', 'camera', 'video/VP8'))
    await settle()
    expect(call.state.streams[0]?.held).toBe(false)
    server.notify('consumerHeld', { consumerId: 'c1', held: true })
    expect(call.state.streams[0]?.held).toBe(true)
    server.notify('activeSpeaker', { peerId: 'anna', speaking: ['anna'] })
    expect(call.state.speaker).toBe('anna')
    server.notify('activeSpeaker', { peerId: null, speaking: [] })
    expect(call.state.speaker).toBeNull()
  })

  it('drops a consumer that is closed while it is made', async () => {
    server.notify('newConsumer', consumerInfo('c1', 'camera', 'video/VP8'))
    server.notify('consumerClosed', { consumerId: 'c1', reason: 'producer-closed' })
    await settle()
    expect(call.state.streams).toEqual([])
    expect(server.methods).not.toContain('resumeConsumer')
  })

  it('guesses the source of a foreign client', async () => {
    server.notify('newConsumer', { ...consumerInfo('c1', '', 'video/VP8'), appData: {} })
    await settle()
    expect(call.state.streams[0]?.source).toBe('camera')
  })
})

describe('a broken path', () => {
  beforeEach(async () => {
    void call.setSource('mic', input('audio'))
    call.join()
    await settle()
    pathIs('send', 'connected')
  })

  it('has its ICE restarted at once when it failed, after a while when it was disconnected', async () => {
    pathIs('send', 'disconnected')
    expect(call.state.media).toBe('interrupted')
    await settle(1_000)
    expect(server.methods).not.toContain('restartIce')
    await settle(1_100)
    expect(server.dataOf('restartIce')).toEqual([{ transportId: transport('send').id }])
    pathIs('send', 'connected')
    expect(call.state.media).toBe('fine')
    pathIs('send', 'failed')
    await settle()
    expect(server.dataOf('restartIce')).toHaveLength(2)
  })

  it('that mends itself costs no restart', async () => {
    pathIs('send', 'disconnected')
    await settle(1_000)
    pathIs('send', 'connected')
    await settle(10_000)
    expect(server.methods).not.toContain('restartIce')
  })

  it('that restarts do not mend is built anew, with what it carried', async () => {
    const old = transport('send')
    pathIs('send', 'failed')
    await settle(30_000)
    expect(server.dataOf('restartIce')).toHaveLength(3)
    expect(server.dataOf('closeTransport')).toEqual([{ transportId: old.id }])
    expect(transport('send')).not.toBe(old)
    expect(server.dataOf('produce').map(({ transportId }) => transportId)).toEqual([old.id, transport('send').id])
  })

  it('that the server closed is built anew, with what it carried', async () => {
    server.notify('newConsumer', consumerInfo('c1', 'camera', 'video/VP8'))
    await settle()
    const old = transport('recv')
    server.notify('transportClosed', { transportId: old.id, reason: 'consent' })
    expect(call.state.streams).toEqual([])
    await settle()
    expect(transport('recv')).not.toBe(old)
    server.notify('newConsumer', consumerInfo('c2', 'camera', 'video/VP8'))
    await settle()
    expect(call.state.streams.map(({ consumerId }) => consumerId)).toEqual(['c2'])
  })
})

describe('a lost socket', () => {
  it('is followed by a new session with the resume secret, all media and the raised hand', async () => {
    void call.setSource('mic', input('audio'))
    call.join()
    await settle()
    await call.raiseHand(true)
    server.notify('newConsumer', consumerInfo('c1', 'camera', 'video/VP8'))
    await settle()
    const [old] = transports
    server.socket.close(1006)
    expect(call.state.status).toBe('reconnecting')
    expect(call.state.streams).toHaveLength(1) // its media plays on
    await settle(1_000)
    expect(call.state.status).toBe('joined')
    expect(server.dataOf('join')[1]).toMatchObject({ resume: 'secret' })
    expect(old?.closed).toBe(true)
    expect(server.dataOf('produce')).toHaveLength(2)
    expect(server.dataOf('raiseHand')).toHaveLength(2)
  })

  it('says that the server stops, until it is back', async () => {
    call.join()
    await settle()
    server.notify('serverStopping', { reconnectAfterMs: 500 })
    server.socket.close(1001)
    expect(call.state).toMatchObject({ status: 'reconnecting', serverStopping: true })
    await settle(1_000)
    expect(call.state).toMatchObject({ status: 'joined', serverStopping: false })
  })

  it('that another tab took over ends the call', async () => {
    call.join()
    await settle()
    server.socket.close(4001)
    expect(call.state.end?.reason).toBe('replaced')
  })
})

describe('the end', () => {
  it('of a closed room', async () => {
    call.join()
    await settle()
    server.notify('roomClosed', { reason: 'by an administrator' })
    expect(call.state.end?.reason).toBe('room-closed')
    expect(server.sockets).toHaveLength(1)
  })

  it('by leaving tells the server, and closes everything but the inputs', async () => {
    const mic = input('audio')
    void call.setSource('mic', mic)
    call.join()
    await settle()
    call.leave()
    expect(server.methods.at(-1)).toBe('leave')
    expect(call.state).toMatchObject({ status: 'ended', end: { reason: 'left' } })
    expect(transports.every(({ closed }) => closed)).toBe(true)
    expect(mic.readyState).toBe('live')
  })
})

it('shows one chat line, whether or not the server sends it back', async () => {
  call.join()
  await settle()
  await call.sendChat('hello')
  const [line] = call.state.chat
  expect(line).toMatchObject({ text: 'hello', peerId: 'me', displayName: 'Me' })
  if (line) server.notify('chat', line)
  expect(call.state.chat).toHaveLength(1)
})
