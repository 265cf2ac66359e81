import { Camera, Mic, MicOff, Video as VideoIcon, VideoOff } from 'lucide-react'
import { useEffect, useState } from 'react'
import { CopyLink } from '@/components/call/CopyLink'
import { Button } from '@/components/ui/Button'
import { TextField } from '@/components/ui/Field'
import { IconButton } from '@/components/ui/IconButton'
import { Logo } from '@/components/ui/Logo'
import { Video } from '@/components/ui/Video'
import type { Visit } from '@/lib/room'
import { MEDIA_PROBLEMS } from '@/lib/words'
import { useCall } from '@/store/call'
import { useMedia } from '@/store/media'
import { DevicePicker } from './DevicePicker'
import { LevelMeter } from './LevelMeter'

const NAME_KEY = 'sightline.name'

function Preview() {
  const { camera, mic, micOn, status, toggleMic, toggleCamera } = useMedia()
  const talking = mic !== null && micOn
  return (
    <div className="relative aspect-video overflow-hidden rounded-2xl border border-line bg-panel">
      {camera ? (
        <Video stream={camera} testId="local-video" mirrored />
      ) : (
        <div className="grid size-full place-items-center text-sm text-muted">
          <span className="flex items-center gap-2">
            <Camera size={16} aria-hidden /> {status === 'asking' ? 'Waiting for permission…' : 'Camera is off'}
          </span>
        </div>
      )}
      <div className="absolute inset-x-0 bottom-0 flex justify-center gap-3 bg-linear-to-t from-black/70 to-transparent p-4">
        <IconButton
          data-testid="mic-button"
          icon={talking ? Mic : MicOff}
          tone={talking ? 'plain' : 'danger'}
          label={talking ? 'Mute microphone' : 'Unmute microphone'}
          onClick={toggleMic}
        />
        <IconButton
          data-testid="camera-button"
          icon={camera ? VideoIcon : VideoOff}
          tone={camera ? 'plain' : 'danger'}
          label={camera ? 'Turn camera off' : 'Turn camera on'}
          onClick={() => void toggleCamera()}
        />
      </div>
    </div>
  )
}

export function Lobby({ visit }: { visit: Visit | undefined }) {
  const [typed, setTyped] = useState<string | null>(null)
  const [remembered, setRemembered] = useState('')
  const { start, problem, mic, micOn } = useMedia()
  const join = useCall((state) => state.join)
  const name = typed ?? (visit?.name || remembered)

  useEffect(() => {
    void start()
    setRemembered(localStorage.getItem(NAME_KEY) ?? '')
  }, [start])

  function onJoin() {
    if (!visit?.room || !name.trim()) return
    localStorage.setItem(NAME_KEY, name.trim())
    void join(visit.room, name.trim(), visit.token)
  }

  return (
    <div data-testid="lobby" className="flex min-h-dvh flex-col">
      <header className="px-5 py-4 sm:px-8">
        <Logo />
      </header>
      <main className="mx-auto grid w-full max-w-6xl flex-1 content-start items-center gap-6 px-4 pb-8 sm:px-8 lg:grid-cols-[1.55fr_1fr] lg:content-center lg:gap-12 lg:pb-24">
        <Preview />
        <form
          className="flex min-w-0 flex-col gap-5"
          onSubmit={(event) => {
            event.preventDefault()
            onJoin()
          }}
        >
          <div className="min-w-0">
            <p className="text-sm text-muted">Ready to join</p>
            <h1 className="mt-1 mb-1 min-h-9 text-3xl font-semibold tracking-tight break-words">{visit?.room}</h1>
            <div className="-ml-2 flex">
              <CopyLink />
            </div>
          </div>
          {problem && (
            <p
              role="alert"
              data-testid="media-problem"
              className="rounded-xl border border-warn/40 bg-warn/10 px-3 py-2 text-sm text-warn"
            >
              {MEDIA_PROBLEMS[problem]}
            </p>
          )}
          <TextField
            label="Your name"
            data-testid="name-input"
            value={name}
            onChange={(event) => setTyped(event.target.value)}
            autoComplete="name"
            maxLength={80}
            required
          />
          <div className="space-y-2.5">
            <DevicePicker kind="audioinput" label="Microphone" icon={Mic} />
            <LevelMeter stream={micOn ? mic : null} />
          </div>
          <DevicePicker kind="videoinput" label="Camera" icon={VideoIcon} />
          <Button
            type="submit"
            tone="primary"
            data-testid="join-button"
            className="h-12 text-base"
            disabled={!name.trim()}
          >
            Join now
          </Button>
        </form>
      </main>
    </div>
  )
}
