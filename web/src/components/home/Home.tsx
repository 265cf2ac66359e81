'use client'

import { ArrowRight, Plus } from 'lucide-react'
import { useState } from 'react'
import { Button } from '@/components/ui/Button'
import { TextField } from '@/components/ui/Field'
import { Logo } from '@/components/ui/Logo'
import { randomRoomName, toRoomName } from '@/lib/room'

// A full page load on purpose: the room page is one static file that the server answers for every room.
const enter = (room: string) => location.assign(`/r/${room}`)

/** A heartbeat of jitter across the page, the one piece of ornament. */
function Trace() {
  const points = Array.from(
    { length: 121 },
    (_, i) =>
      `${i * 12},${(100 + Math.sin(i * 0.55) * 9 + Math.sin(i * 1.7) * 6 - 74 * Math.exp(-(((i % 40) - 20) ** 2) / 4) * (i % 80 < 40 ? 1 : 0.5)).toFixed(1)}`,
  ).join(' ')
  return (
    <svg
      viewBox="0 0 1440 140"
      preserveAspectRatio="none"
      aria-hidden
      className="pointer-events-none absolute inset-x-0 bottom-[12vh] h-44 w-full text-accent mask-[linear-gradient(90deg,transparent,#000_30%,#000_70%,transparent)]"
    >
      <polyline
        points={points}
        fill="none"
        stroke="currentColor"
        strokeOpacity=".35"
        strokeWidth="1.5"
        vectorEffect="non-scaling-stroke"
      />
      <polygon points={`0,140 ${points} 1440,140`} fill="currentColor" fillOpacity=".05" />
    </svg>
  )
}

export function Home() {
  const [text, setText] = useState('')
  const room = toRoomName(text)
  return (
    <div className="relative flex min-h-dvh flex-col overflow-hidden">
      <Trace />
      <header className="px-5 py-4 sm:px-8">
        <Logo />
      </header>
      <main className="relative mx-auto flex w-full max-w-xl flex-1 flex-col justify-center gap-8 px-5 pb-24">
        <div>
          <h1 className="text-4xl font-semibold tracking-tight text-balance sm:text-5xl">
            Video calls you can measure
          </h1>
          <p className="mt-4 text-lg text-pretty text-muted">
            Open a room and share its address. Every stream’s codec, size, rate and loss is one key away.
          </p>
        </div>
        <form
          className="flex flex-col gap-3 sm:flex-row sm:items-end"
          onSubmit={(event) => {
            event.preventDefault()
            if (room) enter(room)
          }}
        >
          <TextField
            label="Room name or link"
            data-testid="room-input"
            className="flex-1"
            placeholder="weekly-review"
            value={text}
            onChange={(event) => setText(event.target.value)}
            autoCapitalize="none"
            autoComplete="off"
            spellCheck={false}
          />
          <Button type="submit" disabled={!room} data-testid="enter-button">
            Enter room <ArrowRight size={16} aria-hidden />
          </Button>
          <Button tone="primary" data-testid="new-room-button" onClick={() => enter(randomRoomName())}>
            <Plus size={16} aria-hidden /> New room
          </Button>
        </form>
      </main>
    </div>
  )
}
