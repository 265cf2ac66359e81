import { LoaderCircle, TriangleAlert, Volume2, X } from 'lucide-react'
import { MEDIA_PROBLEMS, notice, problemText } from '@/lib/words'
import type { CallState } from '@/rtc/call'
import { useMedia } from '@/store/media'
import { useUi } from '@/store/ui'

const BOX = 'flex max-w-xl items-center gap-3 rounded-xl border bg-panel px-4 py-2 text-sm shadow-xl'

/** What the person should know just now, above the tiles; never in the way of the controls. */
export function Notices({ call }: { call: CallState }) {
  const { problem, dismissProblem } = useMedia()
  const { soundBlocked, setSoundBlocked } = useUi()
  const now = notice(call)
  return (
    <div className="pointer-events-none absolute inset-x-0 top-2 z-10 flex flex-col items-center gap-2 px-4 *:pointer-events-auto">
      <div role="status">
        {now && (
          <p data-testid="notice" className={`${BOX} border-info/50`}>
            <LoaderCircle size={16} aria-hidden className="shrink-0 animate-spin text-info" /> {now}
          </p>
        )}
      </div>
      {call.problem && (
        <p role="alert" className={`${BOX} border-warn/50`}>
          <TriangleAlert size={16} aria-hidden className="shrink-0 text-warn" /> {problemText(call.problem)}
        </p>
      )}
      {problem && (
        <div role="alert" data-testid="media-problem" className={`${BOX} border-warn/50`}>
          <TriangleAlert size={16} aria-hidden className="shrink-0 text-warn" /> {MEDIA_PROBLEMS[problem]}
          <button
            type="button"
            aria-label="Dismiss"
            onClick={dismissProblem}
            className="grid size-8 shrink-0 place-items-center rounded-full hover:bg-hover"
          >
            <X size={16} aria-hidden />
          </button>
        </div>
      )}
      {soundBlocked && (
        <button
          type="button"
          data-testid="sound-button"
          onClick={() => setSoundBlocked(false)}
          className={`${BOX} border-accent/60 font-medium hover:bg-hover`}
        >
          <Volume2 size={16} aria-hidden className="text-accent" /> The browser holds the sound back. Turn it on
        </button>
      )}
    </div>
  )
}
