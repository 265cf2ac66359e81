import { Hand, MicOff, MonitorUp, Pin, PinOff } from 'lucide-react'
import { useMemo, useRef } from 'react'
import { useShallow } from 'zustand/react/shallow'
import { Avatar } from '@/components/ui/Avatar'
import { Video } from '@/components/ui/Video'
import { useView } from '@/lib/useView'
import type { Figures } from '@/rtc/stats'
import type { View } from '@/rtc/types'
import { useCall } from '@/store/call'
import { useUi } from '@/store/ui'
import type { Item } from './items'
import { TileFigures } from './TileFigures'

const SPEAKING_LEVEL = 0.03

function belongs({ peerId, source }: Figures, item: Item): boolean {
  const owner = item.local ? null : item.peerId
  return peerId === owner && source.startsWith('screen') === (item.kind === 'screen')
}

function describe({ kind, name, micOn, stream, handRaised }: Item, speaking: boolean): string {
  if (kind === 'screen') return `${name}’s screen`
  const marks = [
    speaking && 'speaking',
    !micOn && 'microphone off',
    !stream && 'camera off',
    handRaised && 'hand raised',
  ].filter(Boolean)
  return [name, ...marks].join(', ')
}

function Picture({ item: { kind, stream, local, name } }: { item: Item }) {
  if (!stream) {
    return (
      <div className="grid size-full place-items-center bg-raised">
        <Avatar name={name} size={72} />
      </div>
    )
  }
  const fit = kind === 'screen' ? 'contain' : 'cover'
  return (
    <Video
      stream={stream}
      testId={local ? 'local-video' : 'remote-video'}
      mirrored={local && kind === 'camera'}
      fit={fit}
    />
  )
}

function NameTag({ item: { kind, micOn, name, local } }: { item: Item }) {
  const text = kind === 'screen' ? `${name}’s screen` : local ? `${name} (you)` : name
  return (
    <div className="absolute bottom-2 left-2 flex max-w-[calc(100%-1rem)] items-center gap-1.5 rounded-lg bg-black/65 px-2 py-1 text-[13px] font-medium">
      {kind === 'screen' && <MonitorUp size={14} aria-hidden className="shrink-0 text-info" />}
      {kind === 'camera' && !micOn && (
        <MicOff size={14} aria-hidden data-testid="muted-mark" className="shrink-0 text-danger" />
      )}
      <span className="truncate">{text}</span>
    </div>
  )
}

function useReportedView(consumerId: string | null) {
  const box = useRef<HTMLElement>(null)
  const call = useCall((state) => state.call)
  const report = useMemo(
    () => (call && consumerId !== null ? (view: View) => call.show(consumerId, view) : null),
    [call, consumerId],
  )
  useView(box, report)
  return box
}

export function Tile({ item }: { item: Item }) {
  const { kind, key, peerId, name, local, handRaised, held, consumerId } = item
  const box = useReportedView(consumerId)
  const figures = useCall(useShallow((state) => state.figures.filter((one) => belongs(one, item))))
  const { figures: showFigures, pinned, pin } = useUi()
  const speaking = kind === 'camera' && figures.some(({ audioLevel }) => audioLevel > SPEAKING_LEVEL)
  const PinIcon = pinned === key ? PinOff : Pin
  return (
    <section
      ref={box}
      data-testid={kind === 'screen' ? 'screen-tile' : 'tile'}
      data-peer-id={peerId}
      data-peer-name={name}
      data-local={local}
      aria-label={describe(item, speaking)}
      className={`group @container relative size-full overflow-hidden rounded-xl bg-panel transition-shadow ${speaking ? 'shadow-[0_0_0_3px_var(--color-accent)]' : 'shadow-[0_0_0_1px_var(--color-line)]'}`}
    >
      <Picture item={item} />
      <NameTag item={item} />
      {held && (
        <p
          data-testid="held-mark"
          className="absolute inset-x-2 top-1/2 -translate-y-1/2 rounded-lg bg-black/65 px-2 py-1 text-center text-[13px]"
        >
          Paused: your network has no room for this picture
        </p>
      )}
      {handRaised && (
        <span
          data-testid="hand-mark"
          className="absolute top-2 right-2 grid size-8 place-items-center rounded-full bg-warn text-ink"
        >
          <Hand size={17} aria-hidden />
        </span>
      )}
      <button
        type="button"
        aria-pressed={pinned === key}
        aria-label={`Pin ${kind === 'screen' ? `${name}’s screen` : name}`}
        onClick={() => pin(key)}
        className="absolute right-2 bottom-2 grid size-8 place-items-center rounded-lg bg-black/60 opacity-0 transition-opacity group-hover:opacity-100 focus-visible:opacity-100 aria-pressed:opacity-100 @max-[11rem]:hidden"
      >
        <PinIcon size={15} aria-hidden />
      </button>
      {showFigures && <TileFigures figures={figures} />}
    </section>
  )
}
