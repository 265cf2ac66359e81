import { useEffect, useEffectEvent } from 'react'
import { useCall } from '@/store/call'
import { useMedia } from '@/store/media'
import { useUi } from '@/store/ui'

export interface Shortcut {
  key: string
  label: string
  run: () => void
}

/** The one list of shortcuts: the key handler, the help dialog and the buttons' tips all read it. */
export const SHORTCUTS = {
  mic: { key: 'm', label: 'Microphone on or off', run: () => useMedia.getState().toggleMic() },
  camera: { key: 'v', label: 'Camera on or off', run: () => void useMedia.getState().toggleCamera() },
  share: { key: 'd', label: 'Share your screen', run: () => void useMedia.getState().toggleShare() },
  hand: { key: 'r', label: 'Raise or lower your hand', run: () => void useCall.getState().toggleHand() },
  chat: { key: 'c', label: 'Chat', run: () => useUi.getState().toggleChat() },
  figures: { key: 's', label: 'Figures on each tile', run: () => useUi.getState().toggleFigures() },
  help: { key: '?', label: 'This list', run: () => useUi.getState().setHelp(true) },
} satisfies Record<string, Shortcut>

const TYPING = 'input, textarea, select, [contenteditable], dialog *'

export function useShortcuts(enabled: boolean) {
  const onKeyDown = useEffectEvent((event: KeyboardEvent) => {
    const target = event.target as HTMLElement
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || target.matches(TYPING)) return
    const shortcut = Object.values(SHORTCUTS).find(({ key }) => key === event.key.toLowerCase())
    if (!shortcut) return
    event.preventDefault()
    shortcut.run()
  })
  useEffect(() => {
    if (!enabled) return
    addEventListener('keydown', onKeyDown)
    return () => removeEventListener('keydown', onKeyDown)
  }, [enabled])
}
