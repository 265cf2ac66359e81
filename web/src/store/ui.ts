import { create } from 'zustand'
import { persist } from 'zustand/middleware'

interface UiState {
  chatOpen: boolean
  figures: boolean
  shortcutsOn: boolean
  help: boolean
  pinned: string | null
  /** The browser waits for a click before it plays sound. */
  soundBlocked: boolean
  toggleChat: () => void
  toggleFigures: () => void
  setShortcutsOn: (on: boolean) => void
  setHelp: (open: boolean) => void
  pin: (key: string) => void
  setSoundBlocked: (blocked: boolean) => void
}

export const useUi = create<UiState>()(
  persist(
    (set) => ({
      chatOpen: false,
      figures: false,
      shortcutsOn: true,
      help: false,
      pinned: null,
      soundBlocked: false,
      toggleChat: () => set((state) => ({ chatOpen: !state.chatOpen })),
      toggleFigures: () => set((state) => ({ figures: !state.figures })),
      setShortcutsOn: (shortcutsOn) => set({ shortcutsOn }),
      setHelp: (help) => set({ help }),
      pin: (key) => set((state) => ({ pinned: state.pinned === key ? null : key })),
      setSoundBlocked: (soundBlocked) => set({ soundBlocked }),
    }),
    { name: 'sightline.ui', partialize: ({ figures, shortcutsOn }) => ({ figures, shortcutsOn }) },
  ),
)
