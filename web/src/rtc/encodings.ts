/** How each source is encoded: the one place to change what we send. Rates are bit/s. */

import type { types } from 'mediasoup-client'
import type { Source } from './types'

/** Three simulcast encodings of a camera: a quarter, a half and all of its size. The server forwards one to each viewer. */
const CAMERA: types.RtpEncodingParameters[] = [
  { scaleResolutionDownBy: 4, maxBitrate: 150_000 },
  { scaleResolutionDownBy: 2, maxBitrate: 500_000 },
  { scaleResolutionDownBy: 1, maxBitrate: 1_700_000 },
]

const SCREEN: types.RtpEncodingParameters[] = [{ maxBitrate: 2_500_000 }]

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
