import {
  Activity,
  Hand,
  Keyboard,
  MessageSquare,
  Mic,
  MicOff,
  MonitorUp,
  MonitorX,
  PhoneOff,
  Video,
  VideoOff,
} from 'lucide-react'
import { IconButton } from '@/components/ui/IconButton'
import { SHORTCUTS } from '@/lib/shortcuts'
import { useCall } from '@/store/call'
import { useMedia } from '@/store/media'
import { useUi } from '@/store/ui'

function Inputs() {
  const { mic, micOn, camera, screen } = useMedia()
  const talking = mic !== null && micOn
  return (
    <>
      <IconButton
        wide
        data-testid="mic-button"
        icon={talking ? Mic : MicOff}
        tone={talking ? 'plain' : 'off'}
        label={talking ? 'Mute microphone' : 'Unmute microphone'}
        shortcut={SHORTCUTS.mic}
        onClick={SHORTCUTS.mic.run}
      />
      <IconButton
        wide
        data-testid="camera-button"
        icon={camera ? Video : VideoOff}
        tone={camera ? 'plain' : 'off'}
        label={camera ? 'Turn camera off' : 'Turn camera on'}
        shortcut={SHORTCUTS.camera}
        onClick={SHORTCUTS.camera.run}
      />
      <IconButton
        data-testid="share-button"
        icon={screen ? MonitorX : MonitorUp}
        tone={screen ? 'on' : 'plain'}
        label={screen ? 'Stop sharing' : 'Share screen'}
        shortcut={SHORTCUTS.share}
        onClick={SHORTCUTS.share.run}
      />
    </>
  )
}

export function ControlBar() {
  const handRaised = useCall((store) => store.state?.handRaised ?? false)
  const { unread, leave } = useCall()
  const { chatOpen, figures } = useUi()
  return (
    <footer className="flex shrink-0 justify-center px-2 pt-3 pb-[calc(0.75rem+env(safe-area-inset-bottom))]">
      <div role="toolbar" aria-label="Call controls" className="flex flex-wrap justify-center gap-2.5 max-sm:gap-1.5">
        <Inputs />
        <IconButton
          data-testid="hand-button"
          icon={Hand}
          tone={handRaised ? 'on' : 'plain'}
          label={handRaised ? 'Lower hand' : 'Raise hand'}
          shortcut={SHORTCUTS.hand}
          onClick={SHORTCUTS.hand.run}
        />
        <IconButton
          data-testid="chat-button"
          icon={MessageSquare}
          tone={chatOpen ? 'on' : 'plain'}
          label="Chat"
          aria-pressed={chatOpen}
          badge={chatOpen ? 0 : unread}
          shortcut={SHORTCUTS.chat}
          onClick={SHORTCUTS.chat.run}
        />
        <IconButton
          data-testid="figures-button"
          icon={Activity}
          tone={figures ? 'on' : 'plain'}
          label="Figures"
          aria-pressed={figures}
          shortcut={SHORTCUTS.figures}
          onClick={SHORTCUTS.figures.run}
        />
        <IconButton
          data-testid="help-button"
          className="max-md:hidden"
          icon={Keyboard}
          label="Keyboard shortcuts"
          shortcut={SHORTCUTS.help}
          onClick={SHORTCUTS.help.run}
        />
        <IconButton wide data-testid="leave-button" icon={PhoneOff} tone="danger" label="Leave call" onClick={leave} />
      </div>
    </footer>
  )
}
