import { FakeMediaStreamTrack } from 'fake-mediastreamtrack'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { useMedia } from './media'

/** Devices that are opened when the test says so, in the order they were asked for. */
const opening: ((input: FakeMediaStreamTrack) => void)[] = []

beforeEach(() => {
  opening.length = 0
  const open = () =>
    new Promise((resolve) => {
      opening.push((input) =>
        resolve({
          getAudioTracks: () => (input.kind === 'audio' ? [input] : []),
          getVideoTracks: () => (input.kind === 'video' ? [input] : []),
        }),
      )
    })
  vi.stubGlobal('navigator', {
    mediaDevices: { getUserMedia: open, getDisplayMedia: open, removeEventListener: () => {} },
  })
})

afterEach(() => {
  useMedia.getState().stop()
  vi.unstubAllGlobals()
})

const camera = () => new FakeMediaStreamTrack({ kind: 'video' })
const done = () => new Promise((resolve) => setTimeout(resolve, 0))

it('a camera that opens after leaving is closed again', async () => {
  void useMedia.getState().toggleCamera()
  useMedia.getState().stop()
  const late = camera()
  opening[0]?.(late)
  await done()
  expect(late.readyState).toBe('ended')
  expect(useMedia.getState().camera).toBeNull()
})

it('of two cameras opened by two quick clicks only the last stays open', async () => {
  void useMedia.getState().toggleCamera()
  void useMedia.getState().toggleCamera()
  const [first, second] = [camera(), camera()]
  opening[1]?.(second)
  opening[0]?.(first)
  await done()
  expect(first.readyState).toBe('ended')
  expect(useMedia.getState().camera).toBe(second)
})

it('a screen chosen after leaving is not shared', async () => {
  void useMedia.getState().toggleShare()
  useMedia.getState().stop()
  const late = camera()
  opening[0]?.(late)
  await done()
  expect(late.readyState).toBe('ended')
  expect(useMedia.getState().screen).toBeNull()
})

it('an input that ends by itself is gone, and the person is told', async () => {
  void useMedia.getState().toggleCamera()
  const input = camera()
  opening[0]?.(input)
  await done()
  input.remoteStop()
  expect(useMedia.getState()).toMatchObject({ camera: null, problem: 'missing' })
})
