/** From getStats reports to plain figures of each stream, by comparing two samples (W3C webrtc-stats). */

import type { Call } from './call'
import type { Kind, Source } from './types'

export const SAMPLE_INTERVAL_MS = 1_000

export interface Figures {
  /** Producer or consumer id. */
  id: string
  /** Null for what we send. */
  peerId: string | null
  source: Source
  kind: Kind
  direction: 'send' | 'receive'
  codec: string
  kbps: number
  /** Video only; 0 for audio. The largest encoding of a simulcast. */
  fps: number
  width: number
  height: number
  /** Of the packets of the last interval, in per cent. What we send: as the server reports it. */
  lossPercent: number
  jitterMs: number
  /** Null where the browser does not know it. */
  rttMs: number | null
  /** 0 … 1 of received audio; 0 otherwise. */
  audioLevel: number
}

/** What must be remembered of a stream for the next sample. */
export interface Counters {
  at: number
  bytes: number
  packets: number
  lost: number
}

type Row = Record<string, unknown> & { type: string }

const number = (value: unknown): number => (typeof value === 'number' ? value : 0)
const sum = (rows: Row[], field: string) => rows.reduce((total, row) => total + number(row[field]), 0)
const largest = (rows: Row[], field: string) => rows.reduce((most, row) => Math.max(most, number(row[field])), 0)

/** The figures of one stream and the counters for its next sample; null while the browser has no RTP row for it. */
export function figuresOf(
  stream: { id: string; peerId: string | null; source: Source },
  rows: Row[],
  before: Counters | undefined,
): { figures: Figures; counters: Counters } | null {
  const sending = stream.peerId === null
  const rtp = rows.filter(({ type }) => type === (sending ? 'outbound-rtp' : 'inbound-rtp'))
  const first = rtp[0]
  if (!first) return null
  const remote = rows.filter(({ type }) => type === 'remote-inbound-rtp')
  const counters: Counters = {
    at: number(first.timestamp),
    bytes: sum(rtp, sending ? 'bytesSent' : 'bytesReceived'),
    packets: sum(rtp, sending ? 'packetsSent' : 'packetsReceived'),
    lost: sum(sending ? remote : rtp, 'packetsLost'),
  }
  const seconds = before ? (counters.at - before.at) / 1000 : 0
  const bytes = before ? Math.max(0, counters.bytes - before.bytes) : 0
  const lost = before ? Math.max(0, counters.lost - before.lost) : 0
  const packets = before ? Math.max(0, counters.packets - before.packets) : 0
  const expected = sending ? packets : packets + lost
  const codec = rows.find(({ id }) => id === first.codecId)
  const pair = rows.find(({ type, nominated }) => type === 'candidate-pair' && nominated === true)
  const rtt = remote[0]?.roundTripTime ?? pair?.currentRoundTripTime
  return {
    counters,
    figures: {
      ...stream,
      kind: first.kind === 'video' ? 'video' : 'audio',
      direction: sending ? 'send' : 'receive',
      codec: String(codec?.mimeType ?? '').replace(/^.*\//, ''),
      kbps: seconds > 0 ? (bytes * 8) / seconds / 1000 : 0,
      fps: largest(rtp, 'framesPerSecond'),
      width: largest(rtp, 'frameWidth'),
      height: largest(rtp, 'frameHeight'),
      lossPercent: expected > 0 ? Math.min(100, (100 * lost) / expected) : 0,
      jitterMs: 1000 * largest(sending ? remote : rtp, 'jitter'),
      rttMs: typeof rtt === 'number' ? rtt * 1000 : null,
      audioLevel: sending ? 0 : number(first.audioLevel),
    },
  }
}

/** Remembers the last counters of each stream; call `sample` once per SAMPLE_INTERVAL_MS. */
export class StatsSampler {
  private counters = new Map<string, Counters>()

  constructor(private readonly call: Pick<Call, 'reports'>) {}

  async sample(): Promise<Figures[]> {
    const next = new Map<string, Counters>()
    const all: Figures[] = []
    for (const { report, ...stream } of await this.call.reports()) {
      const found = figuresOf(stream, [...report.values()] as Row[], this.counters.get(stream.id))
      if (!found) continue
      next.set(stream.id, found.counters)
      all.push(found.figures)
    }
    this.counters = next
    return all
  }
}
