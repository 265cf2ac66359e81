import { create } from 'zustand'
import { signalingUrl } from '@/lib/config'
import type { Call, CallState, EndReason } from '@/rtc/call'
import { type Figures, SAMPLE_INTERVAL_MS, StatsSampler } from '@/rtc/stats'
import { useMedia } from './media'
import { useUi } from './ui'

export type Phase = 'lobby' | 'call' | 'left'

interface CallStore {
  phase: Phase
  call: Call | null
  /** The call's own state; null before the first join. */
  state: CallState | null
  joinedAt: number
  end: { reason: EndReason; error: Error | null } | null
  /** One second's figures of every stream. */
  figures: Figures[]
  unread: number
  join: (room: string, displayName: string, token?: string) => Promise<void>
  leave: () => void
  backToLobby: () => void
  toggleHand: () => Promise<void>
  markRead: () => void
}

declare global {
  interface Window {
    /** For engineers, in the browser's console (docs/web.md). */
    sightline?: { readonly call: Call | null; stats: () => Promise<Record<string, unknown>[]> }
  }
}

/** Make the call send what the media store has, now and after each change. */
function sendInputs(call: Call): () => void {
  const send = ({ mic, micOn, camera, screen, screenSound }: ReturnType<typeof useMedia.getState>) => {
    void call.setSource('mic', mic, !micOn)
    void call.setSource('camera', camera)
    void call.setSource('screen', screen)
    void call.setSource('screen-audio', screenSound)
  }
  send(useMedia.getState())
  return useMedia.subscribe((now, before) => {
    const inputs = ['mic', 'micOn', 'camera', 'screen', 'screenSound'] as const
    if (inputs.some((field) => now[field] !== before[field])) send(now)
  })
}

export const useCall = create<CallStore>()((set, get) => {
  function onState(state: CallState, before: CallState | null) {
    const arrived = before?.status === 'joined' ? state.chat.filter((one) => !before.chat.includes(one)).length : 0
    set({ state, unread: useUi.getState().chatOpen ? 0 : get().unread + arrived })
    if (state.status === 'joined' && get().joinedAt === 0) set({ joinedAt: Date.now() })
  }

  function run(call: Call) {
    const sampler = new StatsSampler(call)
    const timer = setInterval(() => {
      void sampler.sample().then((figures) => {
        if (get().call === call) set({ figures })
      })
    }, SAMPLE_INTERVAL_MS)
    const hurry = () => call.hurry()
    addEventListener('online', hurry)
    const stopSending = sendInputs(call)
    call.subscribe((state) => {
      onState(state, get().state)
      if (!state.end) return
      clearInterval(timer)
      removeEventListener('online', hurry)
      stopSending()
      useMedia.getState().stop()
      set({ phase: 'left', call: null, end: state.end, figures: [], unread: 0 })
    })
    call.join()
  }

  return {
    phase: 'lobby',
    call: null,
    state: null,
    joinedAt: 0,
    end: null,
    figures: [],
    unread: 0,

    async join(room, displayName, token) {
      if (get().phase === 'call') return
      set({ phase: 'call', state: null, end: null, joinedAt: 0 })
      const { Call } = await import('@/rtc/call') // mediasoup-client loads while the person is in the lobby
      const call = new Call({ url: signalingUrl(location), room, displayName, token, secrets: sessionStorage })
      set({ call, state: call.state })
      run(call)
    },

    leave: () => get().call?.leave(),
    backToLobby: () => set({ phase: 'lobby' }),

    async toggleHand() {
      const { call, state } = get()
      // A hand raised while the socket is down stays down: the person sees that and tries again.
      await call?.raiseHand(!state?.handRaised).catch(() => {})
    },

    markRead: () => set({ unread: 0 }),
  }
})

if (typeof window !== 'undefined') {
  window.sightline = {
    get call() {
      return useCall.getState().call
    },
    stats: async () => (await useCall.getState().call?.stats()) ?? [],
  }
}
