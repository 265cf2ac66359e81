/** Opening inputs: camera, microphone, a screen. One that is missing must not cost the other. */

export type MediaProblem = 'insecure' | 'denied' | 'missing' | 'busy'

export interface Opened {
  mic: MediaStreamTrack | null
  camera: MediaStreamTrack | null
  /** Why something asked for is not there; null if nothing is missing. */
  problem: MediaProblem | null
}

export interface Chosen {
  audioinput?: string
  videoinput?: string
}

type Devices = Pick<MediaDevices, 'getUserMedia' | 'getDisplayMedia'>

export function audioConstraints(deviceId?: string): MediaTrackConstraints {
  const device = deviceId ? { deviceId: { exact: deviceId } } : {}
  return { ...device, echoCancellation: true, noiseSuppression: true, autoGainControl: true }
}

export function videoConstraints(deviceId?: string): MediaTrackConstraints {
  const device = deviceId ? { deviceId: { exact: deviceId } } : {}
  return { ...device, width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } }
}

export function problemOf(error: unknown): MediaProblem {
  switch ((error as Partial<DOMException> | null)?.name) {
    case 'NotAllowedError':
    case 'SecurityError':
      return 'denied'
    case 'NotFoundError':
    case 'OverconstrainedError':
      return 'missing'
    default:
      return 'busy'
  }
}

const available = () => globalThis.navigator?.mediaDevices as Devices | undefined

/** Camera and microphone in one question to the person; if that fails, each alone; with neither, a viewer. */
export async function openBoth(chosen: Chosen = {}, devices: Devices | undefined = available()): Promise<Opened> {
  if (!devices) return { mic: null, camera: null, problem: 'insecure' }
  const audio = audioConstraints(chosen.audioinput)
  const video = videoConstraints(chosen.videoinput)
  try {
    const stream = await devices.getUserMedia({ audio, video })
    return { mic: stream.getAudioTracks()[0] ?? null, camera: stream.getVideoTracks()[0] ?? null, problem: null }
  } catch (error) {
    const problem = problemOf(error)
    const [mic, camera] = await Promise.all([
      devices.getUserMedia({ audio }).then(
        (stream) => stream.getAudioTracks()[0] ?? null,
        () => null,
      ),
      devices.getUserMedia({ video }).then(
        (stream) => stream.getVideoTracks()[0] ?? null,
        () => null,
      ),
    ])
    return { mic, camera, problem }
  }
}

/** Raises DOMException; `problemOf` names it. */
export async function openMic(deviceId?: string): Promise<MediaStreamTrack> {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: audioConstraints(deviceId) })
  return stream.getAudioTracks()[0] as MediaStreamTrack
}

/** Raises DOMException; `problemOf` names it. */
export async function openCamera(deviceId?: string): Promise<MediaStreamTrack> {
  const stream = await navigator.mediaDevices.getUserMedia({ video: videoConstraints(deviceId) })
  return stream.getVideoTracks()[0] as MediaStreamTrack
}

/** A screen, window or tab of the person's choice, with its sound where the browser offers that; null if refused. */
export async function openScreen(): Promise<[picture: MediaStreamTrack, sound: MediaStreamTrack | null] | null> {
  try {
    const stream = await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { max: 30 } }, audio: true })
    const picture = stream.getVideoTracks()[0] as MediaStreamTrack
    picture.contentHint = 'detail' // keep text sharp, give up frames first
    return [picture, stream.getAudioTracks()[0] ?? null]
  } catch (error) {
    if (problemOf(error) === 'denied') return null // closing the browser's own dialog says the same
    throw error
  }
}
