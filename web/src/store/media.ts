import { create } from 'zustand'
import { type MediaProblem, openBoth, openCamera, openMic, openScreen, problemOf } from '@/rtc/media'

export type DeviceKind = 'audioinput' | 'videoinput'

/** This person's inputs, from the lobby until leaving. The call store sends whatever is here. */
interface MediaState {
  status: 'idle' | 'asking' | 'ready'
  problem: MediaProblem | null
  mic: MediaStreamTrack | null
  camera: MediaStreamTrack | null
  screen: MediaStreamTrack | null
  screenSound: MediaStreamTrack | null
  micOn: boolean
  devices: MediaDeviceInfo[]
  chosen: Partial<Record<DeviceKind, string>>
  start: () => Promise<void>
  stop: () => void
  choose: (kind: DeviceKind, deviceId: string) => Promise<void>
  toggleMic: () => void
  toggleCamera: () => Promise<void>
  toggleShare: () => Promise<void>
  dismissProblem: () => void
}

const NOTHING = { mic: null, camera: null, screen: null, screenSound: null, micOn: false }

export const useMedia = create<MediaState>()((set, get) => {
  let session = 0
  const asked = { audioinput: 0, videoinput: 0, screen: 0 }

  /** Inputs that open after leaving, or after the same was asked for again, are closed at once: null. */
  async function openLatest(what: keyof typeof asked, open: () => Promise<(MediaStreamTrack | null)[] | null>) {
    const mine = session
    const turn = ++asked[what]
    const overtaken = () => mine !== session || turn !== asked[what]
    try {
      const inputs = await open()
      if (!overtaken()) return inputs
      for (const input of inputs ?? []) input?.stop()
    } catch (error) {
      if (!overtaken()) throw error
    }
    return null
  }

  async function listDevices() {
    const all = await navigator.mediaDevices.enumerateDevices()
    set({ devices: all.filter(({ deviceId }) => deviceId) })
  }

  /** An unplugged device ends its input without anybody having asked. */
  function watch(field: 'mic' | 'camera' | 'screen' | 'screenSound', input: MediaStreamTrack | null) {
    input?.addEventListener('ended', () => {
      if (get()[field] !== input) return
      set(field === 'screen' ? { screen: null, screenSound: null } : { [field]: null })
      if (field === 'mic' || field === 'camera') set({ problem: 'missing' })
    })
    return input
  }

  return {
    status: 'idle',
    problem: null,
    ...NOTHING,
    devices: [],
    chosen: {},

    async start() {
      if (get().status !== 'idle') return
      const mine = ++session
      set({ status: 'asking', problem: null })
      const { mic, camera, problem } = await openBoth(get().chosen)
      if (mine !== session) {
        mic?.stop()
        camera?.stop()
        return
      }
      set({ status: 'ready', problem, mic: watch('mic', mic), camera: watch('camera', camera), micOn: mic !== null })
      set({ chosen: { audioinput: mic?.getSettings().deviceId, videoinput: camera?.getSettings().deviceId } })
      if (!navigator.mediaDevices) return
      await listDevices()
      navigator.mediaDevices.addEventListener('devicechange', listDevices)
    },

    stop() {
      session++
      const { mic, camera, screen, screenSound } = get()
      for (const input of [mic, camera, screen, screenSound]) input?.stop()
      navigator.mediaDevices?.removeEventListener('devicechange', listDevices)
      set({ ...NOTHING, status: 'idle', problem: null })
    },

    async choose(kind, deviceId) {
      const { mic, camera } = get()
      try {
        if (kind === 'audioinput') {
          mic?.stop()
          const opened = await openLatest(kind, async () => [await openMic(deviceId)])
          if (!opened?.[0]) return
          set({ mic: watch('mic', opened[0]), micOn: mic ? get().micOn : true })
        } else {
          camera?.stop()
          const opened = await openLatest(kind, async () => [await openCamera(deviceId)])
          if (!opened?.[0]) return
          set({ camera: watch('camera', opened[0]) })
        }
        set((state) => ({ chosen: { ...state.chosen, [kind]: deviceId }, problem: null }))
      } catch (error) {
        set({ problem: problemOf(error), [kind === 'audioinput' ? 'mic' : 'camera']: null })
      }
    },

    toggleMic() {
      const { mic, micOn, chosen } = get()
      if (mic) set({ micOn: !micOn })
      else void get().choose('audioinput', chosen.audioinput ?? '')
    },

    // The camera is closed, not blanked, so that its light goes out.
    async toggleCamera() {
      const { camera, chosen } = get()
      if (!camera) return get().choose('videoinput', chosen.videoinput ?? '')
      camera.stop()
      set({ camera: null })
    },

    async toggleShare() {
      const { screen, screenSound } = get()
      if (screen) {
        screen.stop()
        screenSound?.stop()
        return set({ screen: null, screenSound: null })
      }
      try {
        const opened = await openLatest('screen', openScreen)
        if (!opened) return
        const [picture = null, sound = null] = opened
        set({ screen: watch('screen', picture), screenSound: watch('screenSound', sound) })
      } catch (error) {
        set({ problem: problemOf(error) })
      }
    },

    dismissProblem: () => set({ problem: null }),
  }
})
