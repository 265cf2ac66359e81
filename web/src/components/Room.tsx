'use client'

import { RotateCcw } from 'lucide-react'
import dynamic from 'next/dynamic'
import { useEffect } from 'react'
import { Lobby } from '@/components/lobby/Lobby'
import { Button } from '@/components/ui/Button'
import { Logo } from '@/components/ui/Logo'
import { useVisit, type Visit } from '@/lib/room'
import { ending } from '@/lib/words'
import { useCall } from '@/store/call'
import { useMedia } from '@/store/media'

// Loaded while the person is still in the lobby.
const CallScreen = dynamic(() => import('@/components/call/CallScreen').then((module) => module.CallScreen), {
  ssr: false,
})

interface PageProps {
  testId: string
  title: string
  text: string
  action: { label: string; testId: string; run: () => void }
}

function NoticePage({ testId, title, text, action }: PageProps) {
  return (
    <div data-testid={testId} className="flex min-h-dvh flex-col">
      <header className="px-5 py-4 sm:px-8">
        <Logo />
      </header>
      <main className="flex flex-1 flex-col items-center justify-center gap-4 px-5 pb-24 text-center">
        <h1 className="text-2xl font-semibold">{title}</h1>
        <p className="max-w-md text-muted">{text}</p>
        <Button tone="primary" data-testid={action.testId} onClick={action.run}>
          <RotateCcw size={16} aria-hidden /> {action.label}
        </Button>
        <a href="/" className="rounded text-sm text-muted underline hover:text-text">
          Choose another room
        </a>
      </main>
    </div>
  )
}

/** `?name=…&join=1`: into the call at once; the inputs follow as soon as the browser gives them. */
function useSkippedLobby(visit: Visit | undefined) {
  useEffect(() => {
    if (!visit?.room || !visit.skipLobby || useCall.getState().phase !== 'lobby') return
    void useMedia.getState().start()
    void useCall.getState().join(visit.room, visit.name, visit.token)
  }, [visit])
}

/** Lobby, call and goodbye are phases of one page, so that the camera and the sound stay open between them. */
export function Room() {
  const visit = useVisit()
  const { phase, state, end, backToLobby } = useCall()
  useSkippedLobby(visit)
  useEffect(() => {
    void import('@/components/call/CallScreen')
    void import('@/rtc/call')
  }, [])

  if (visit && visit.room === null) {
    return (
      <NoticePage
        testId="no-room"
        title="No such room"
        text="A room’s name has 1 to 64 small letters, digits and dashes."
        action={{ label: 'Choose a room', testId: 'home-button', run: () => location.assign('/') }}
      />
    )
  }
  if (phase === 'left') {
    return (
      <NoticePage
        testId="left"
        {...ending(end ?? { reason: 'left', error: null })}
        action={{ label: 'Join again', testId: 'rejoin-button', run: backToLobby }}
      />
    )
  }
  // The lobby is skipped once: who joins again after leaving may want other inputs.
  if (phase === 'call' || (visit?.skipLobby && !end))
    return state && <CallScreen room={visit?.room ?? ''} call={state} />
  return <Lobby visit={visit} />
}
