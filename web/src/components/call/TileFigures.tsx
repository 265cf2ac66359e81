import { bitrate } from '@/lib/format'
import type { Figures } from '@/rtc/stats'

function Line({ figures }: { figures: Figures }) {
  const { codec, kind, width, height, fps, kbps, lossPercent, rttMs } = figures
  return (
    <>
      <dt className="sr-only">{kind === 'video' ? 'Picture' : 'Sound'}</dt>
      <dd>
        <span className="font-semibold text-info">{codec}</span>{' '}
        {kind === 'video' && width > 0 && `${width}×${height}@${Math.round(fps)} `}
        {bitrate(kbps)}
        <span className="@max-[15rem]:hidden">
          {' '}
          <span className={lossPercent >= 2 ? 'text-warn' : ''}>{lossPercent.toFixed(1)}% lost</span>
          {rttMs !== null && ` ${Math.round(rttMs)} ms`}
        </span>
      </dd>
    </>
  )
}

/** The last second's figures of a tile's streams, as the browser measured them. */
export function TileFigures({ figures }: { figures: Figures[] }) {
  if (figures.length === 0) return null
  return (
    <dl
      data-testid="tile-figures"
      className="absolute top-2 left-2 rounded-lg bg-black/75 px-2 py-1 font-mono text-[11px] leading-4 text-text/90"
    >
      {figures.map((one) => (
        <Line key={one.id} figures={one} />
      ))}
    </dl>
  )
}
