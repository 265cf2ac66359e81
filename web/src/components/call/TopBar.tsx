import { Users } from 'lucide-react'
import { useEffect, useState } from 'react'
import { clock } from '@/lib/format'
import { useCall } from '@/store/call'
import { CopyLink } from './CopyLink'

function Clock() {
  const joinedAt = useCall((state) => state.joinedAt)
  const [now, setNow] = useState(Date.now)
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000)
    return () => clearInterval(timer)
  }, [])
  if (joinedAt === 0) return null
  return <span className="text-muted tabular-nums">{clock(Math.max(0, now - joinedAt) / 1000)}</span>
}

export function TopBar({ room, count }: { room: string; count: number }) {
  return (
    <header className="flex h-12 shrink-0 items-center gap-3 px-4 text-sm">
      <h1 className="truncate font-semibold">{room}</h1>
      <CopyLink />
      <span className="ml-auto flex items-center gap-1.5 text-muted">
        <Users size={15} aria-hidden /> <span className="sr-only">Participants:</span>
        <span data-testid="participant-count">{count}</span>
      </span>
      <Clock />
    </header>
  )
}
