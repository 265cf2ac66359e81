import type { LucideIcon } from 'lucide-react'
import { SelectField } from '@/components/ui/Field'
import { type DeviceKind, useMedia } from '@/store/media'

export function DevicePicker({ kind, label, icon }: { kind: DeviceKind; label: string; icon?: LucideIcon }) {
  const { devices, chosen, choose } = useMedia()
  const found = devices.filter((device) => device.kind === kind)
  const options = found.length
    ? found.map(({ deviceId, label }, i) => ({ value: deviceId, label: label || `Device ${i + 1}` }))
    : [{ value: '', label: 'None found' }]
  return (
    <SelectField
      label={label}
      icon={icon}
      options={options}
      value={chosen[kind] ?? ''}
      disabled={found.length === 0}
      onChoose={(id) => void choose(kind, id)}
    />
  )
}
