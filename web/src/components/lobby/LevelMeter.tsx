import { useRef } from 'react'
import { useAudioLevel } from '@/lib/useAudioLevel'

export function LevelMeter({ stream }: { stream: MediaStreamTrack | null }) {
  const bar = useRef<HTMLDivElement>(null)
  useAudioLevel(stream ?? undefined, (level) => {
    if (bar.current) bar.current.style.clipPath = `inset(0 ${100 - level * 100}% 0 0)`
  })
  const cells = '[mask-image:repeating-linear-gradient(90deg,#000_0_6px,transparent_6px_9px)]'
  return (
    <div className="flex items-center gap-3" role="img" aria-label={stream ? 'Microphone level' : 'Microphone is off'}>
      <div className={`relative h-2 flex-1 bg-hover ${cells}`}>
        <div
          ref={bar}
          className="absolute inset-0 bg-linear-to-r from-accent from-60% via-warn via-80% to-danger [clip-path:inset(0_100%_0_0)]"
        />
      </div>
      <span className="w-16 text-right text-xs text-muted">{stream ? 'Mic level' : 'Mic is off'}</span>
    </div>
  )
}
