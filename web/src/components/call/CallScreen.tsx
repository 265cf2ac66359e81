import { useShortcuts } from '@/lib/shortcuts'
import type { CallState } from '@/rtc/call'
import { useMedia } from '@/store/media'
import { useUi } from '@/store/ui'
import { ChatPanel } from './ChatPanel'
import { ControlBar } from './ControlBar'
import { Grid } from './Grid'
import { itemsOf, stageOf } from './items'
import { Notices } from './Notices'
import { ShortcutsDialog } from './ShortcutsDialog'
import { Sound } from './Sound'
import { Stage } from './Stage'
import { TopBar } from './TopBar'

export function CallScreen({ room, call }: { room: string; call: CallState }) {
  const { camera, screen, mic, micOn } = useMedia()
  const { pinned, chatOpen, shortcutsOn, help } = useUi()
  useShortcuts(shortcutsOn)
  const items = itemsOf(call, { camera, screen, micOn: mic !== null && micOn })
  const main = stageOf(items, pinned)
  return (
    // What tests wait for: the room is entered, media may still be on its way.
    <div
      data-testid={call.status === 'connecting' ? 'connecting' : 'call'}
      data-status={call.status}
      className="flex h-dvh flex-col overflow-hidden"
    >
      <TopBar room={room} count={call.peers.length + 1} />
      <div className="relative flex min-h-0 flex-1 gap-3 px-3">
        <Notices call={call} />
        <main aria-label="Participants’ video" className="min-w-0 flex-1">
          {main ? <Stage items={items} main={main} /> : <Grid items={items} />}
        </main>
        {chatOpen && <ChatPanel messages={call.chat} peerId={call.peerId} />}
      </div>
      <ControlBar />
      {call.streams
        .filter(({ kind }) => kind === 'audio')
        .map(({ consumerId, track }) => (
          <Sound key={consumerId} stream={track} />
        ))}
      {help && <ShortcutsDialog />}
    </div>
  )
}
