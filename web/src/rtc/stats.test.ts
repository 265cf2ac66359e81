import { expect, it } from 'vitest'
import { figuresOf, StatsSampler } from './stats'
import type { Source } from './types'

const codec = { type: 'codec', id: 'codec1', mimeType: 'video/VP8' }

function received(at: number, bytesReceived: number, packetsReceived: number, packetsLost: number) {
  const shape = { framesPerSecond: 25, frameWidth: 640, frameHeight: 360, jitter: 0.004 }
  const counts = { bytesReceived, packetsReceived, packetsLost }
  return { type: 'inbound-rtp', id: 'in', kind: 'video', timestamp: at, codecId: 'codec1', ...shape, ...counts }
}

const stream = { id: 'c1', peerId: 'anna', source: 'camera' as Source }

it('compares two samples of a received stream', () => {
  const first = figuresOf(stream, [received(1_000, 10_000, 10, 0), codec], undefined)
  expect(first?.figures).toMatchObject({ kbps: 0, lossPercent: 0, codec: 'VP8', width: 640, height: 360, fps: 25 })
  const second = figuresOf(stream, [received(2_000, 135_000, 100, 10), codec], first?.counters)
  expect(second?.figures).toMatchObject({ kbps: 1000, lossPercent: 10, jitterMs: 4, direction: 'receive' })
})

it('adds up the encodings of a simulcast, and shows the largest', () => {
  const encoding = (rid: string, width: number, bytesSent: number, timestamp: number) => ({
    type: 'outbound-rtp',
    id: rid,
    kind: 'video',
    rid,
    timestamp,
    frameWidth: width,
    frameHeight: width / 2,
    framesPerSecond: 30,
    bytesSent,
    packetsSent: bytesSent / 1000,
  })
  const own = { id: 'p1', peerId: null, source: 'camera' as Source }
  const remote = { type: 'remote-inbound-rtp', id: 'r', packetsLost: 5, jitter: 0.01, roundTripTime: 0.05 }
  const before = figuresOf(own, [encoding('r0', 320, 0, 0), encoding('r1', 640, 0, 0)], undefined)
  const rows = [encoding('r0', 320, 25_000, 1_000), encoding('r1', 640, 75_000, 1_000), remote]
  const after = figuresOf(own, rows, before?.counters)
  expect(after?.figures).toMatchObject({ kbps: 800, width: 640, lossPercent: 5, rttMs: 50, direction: 'send' })
})

it('a counter that starts anew gives no negative rate', () => {
  const first = figuresOf(stream, [received(1_000, 10_000, 10, 5)], undefined)
  const second = figuresOf(stream, [received(2_000, 500, 1, 0)], first?.counters)
  expect(second?.figures).toMatchObject({ kbps: 0, lossPercent: 0 })
})

it('gives nothing for a stream without RTP yet', () => {
  expect(figuresOf(stream, [codec], undefined)).toBeNull()
})

it('the sampler forgets streams that are gone', async () => {
  const report = (row: object) => new Map([['in', row]]) as unknown as RTCStatsReport
  const queue = [
    [{ ...stream, report: report(received(1_000, 10_000, 10, 0)) }],
    [],
    [{ ...stream, report: report(received(3_000, 999_000, 10, 0)) }],
  ]
  const sampler = new StatsSampler({ reports: async () => queue.shift() ?? [] })
  await sampler.sample()
  expect(await sampler.sample()).toEqual([])
  expect((await sampler.sample())[0]?.kbps).toBe(0)
})
