/** How each source is encoded: the one place to change what we send. Rates are bit/s. */

import type { types } from 'mediasoup-client'
import type { Source } from './types'

/**
 * Three sizes, each with three frame rates: the server sends every viewer the best that its network carries and its tile
 * shows, and tells us which of the three nobody watches.
 */
const CAMERA: types.RtpEncodingParameters[] = [
  { scaleResolutionDownBy: 4, maxBitrate: 150_000, scalabilityMode: 'L1T3' },
  { scaleResolutionDownBy: 2, maxBitrate: 500_000, scalabilityMode: 'L1T3' },
  { scaleResolutionDownBy: 1, maxBitrate: 1_500_000, scalabilityMode: 'L1T3' },
]

/** Text is readable at one size only: a narrow network gets fewer frames of it. */
const SCREEN: types.RtpEncodingParameters[] = [{ maxBitrate: 2_500_000, scalabilityMode: 'L1T3' }]

export function produceOptions(source: Source, stream: MediaStreamTrack, paused: boolean): types.ProducerOptions {
  // The producer starts paused when its input is disabled. We stop inputs ourselves: they may be shown in a preview.
  stream.enabled = !paused
  const shared = { track: stream, stopTracks: false, appData: { source, paused } }
  switch (source) {
    case 'mic':
      return { ...shared, codecOptions: { opusFec: true, opusDtx: true } }
    case 'screen-audio':
      return { ...shared, codecOptions: { opusStereo: true, opusFec: true } }
    case 'camera':
      return { ...shared, encodings: CAMERA, codecOptions: { videoGoogleStartBitrate: 1_000 } }
    case 'screen':
      return { ...shared, encodings: SCREEN, codecOptions: { videoGoogleStartBitrate: 1_500 } }
  }
}

/** Switch on the encodings that are wanted (empty: all) and the others off. Whether that changed anything. */
export function activate(encodings: RTCRtpEncodingParameters[], wanted: boolean[]): boolean {
  let changed = false
  encodings.forEach((encoding, index) => {
    const active = wanted[index] ?? true
    changed ||= (encoding.active ?? true) !== active
    encoding.active = active
  })
  return changed
}
