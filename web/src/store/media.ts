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
  let session = 0 // `stop` while a device is being opened must not leave it open

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
          set({ mic: watch('mic', await openMic(deviceId)), micOn: mic ? get().micOn : true })
        } else {
          camera?.stop()
          set({ camera: watch('camera', await openCamera(deviceId)) })
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
        const opened = await openScreen()
        if (!opened) return
        set({ screen: watch('screen', opened.picture), screenSound: watch('screenSound', opened.sound) })
      } catch (error) {
        set({ problem: problemOf(error) })
      }
    },

    dismissProblem: () => set({ problem: null }),
  }
})
