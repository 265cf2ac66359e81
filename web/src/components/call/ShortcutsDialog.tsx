import { Dialog } from '@/components/ui/Dialog'
import { Switch } from '@/components/ui/Field'
import { SHORTCUTS } from '@/lib/shortcuts'
import { useUi } from '@/store/ui'

export function ShortcutsDialog() {
  const { shortcutsOn, setShortcutsOn, setHelp } = useUi()
  return (
    <Dialog title="Keyboard shortcuts" onClose={() => setHelp(false)}>
      <Switch
        label="Single-key shortcuts"
        hint="Turn them off if they get in the way of dictation or of a screen reader."
        checked={shortcutsOn}
        onChange={setShortcutsOn}
      />
      <dl className="mt-3 grid grid-cols-[auto_1fr] items-center gap-x-4 gap-y-2 text-sm">
        {Object.values(SHORTCUTS).map(({ key, label }) => (
          <div key={key} className="contents">
            <dt>
              <kbd className="grid h-7 min-w-7 place-items-center rounded-md border border-line bg-raised px-1.5 font-mono uppercase">
                {key}
              </kbd>
            </dt>
            <dd>{label}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  )
}
