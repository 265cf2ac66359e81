import { useEffect, useRef } from 'react'
import { useUi } from '@/store/ui'

/** One received sound. Browsers may refuse to play it before the first click; then the call screen shows a button. */
export function Sound({ stream }: { stream: MediaStreamTrack }) {
  const ref = useRef<HTMLAudioElement>(null)
  const blocked = useUi((state) => state.soundBlocked)
  useEffect(() => {
    const audio = ref.current!
    audio.srcObject = new MediaStream([stream])
    return () => {
      audio.srcObject = null
    }
  }, [stream])
  useEffect(() => {
    if (blocked) return
    ref.current?.play().catch((error: DOMException) => {
      if (error.name === 'NotAllowedError') useUi.getState().setSoundBlocked(true)
    })
  }, [blocked])
  // biome-ignore lint/a11y/useMediaCaption: a live voice has no caption file
  return <audio ref={ref} data-testid="remote-audio" autoPlay />
}
