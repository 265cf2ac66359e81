import { FakeMediaStreamTrack } from 'fake-mediastreamtrack'
import { expect, it } from 'vitest'
import { openBoth, problemOf } from './media'

type Present = { audio: boolean | string; video: boolean | string }

/** getUserMedia of a machine: a device is there, or opening it fails with that DOMException name. */
function machine(present: Present) {
  const asked: string[] = []
  return {
    asked,
    async getUserMedia(wanted: MediaStreamConstraints = {}) {
      const kinds = (['audio', 'video'] as const).filter((kind) => wanted[kind])
      asked.push(kinds.join('+'))
      for (const kind of kinds) {
        if (present[kind] !== true) throw new DOMException('no', String(present[kind]))
      }
      const inputs = kinds.map((kind) => new FakeMediaStreamTrack({ kind }))
      const of = (kind: string) => inputs.filter((one) => one.kind === kind)
      return { getAudioTracks: () => of('audio'), getVideoTracks: () => of('video') } as unknown as MediaStream
    },
    getDisplayMedia: async () => Promise.reject(new Error('not asked for')),
  }
}

it.each([
  ['both', { audio: true, video: true }, ['audio+video'], [true, true], null],
  ['no camera', { audio: true, video: 'NotFoundError' }, ['audio+video', 'audio', 'video'], [true, false], 'missing'],
  ['a camera in use', { audio: true, video: 'NotReadableError' }, undefined, [true, false], 'busy'],
  ['no microphone', { audio: 'NotFoundError', video: true }, undefined, [false, true], 'missing'],
  ['a refusal', { audio: 'NotAllowedError', video: 'NotAllowedError' }, undefined, [false, false], 'denied'],
] as const)('%s', async (_, present, asked, got, problem) => {
  const devices = machine(present)
  const opened = await openBoth({}, devices)
  expect([opened.mic !== null, opened.camera !== null]).toEqual(got)
  expect(opened.problem).toBe(problem)
  if (asked) expect(devices.asked).toEqual(asked)
})

it('an insecure page has no devices at all', async () => {
  expect(await openBoth({}, undefined)).toEqual({ mic: null, camera: null, problem: 'insecure' })
})

it('names what failed', () => {
  expect(['SecurityError', 'OverconstrainedError', 'AbortError'].map((name) => problemOf({ name }))).toEqual([
    'denied',
    'missing',
    'busy',
  ])
})
