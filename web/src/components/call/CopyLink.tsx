import { Check, Link2 } from 'lucide-react'
import { useState } from 'react'

/** The room's address without the query, which may hold a name or a token of one's own. */
export function CopyLink() {
  const [said, setSaid] = useState<string | null>(null)
  async function copy() {
    const address = location.origin + location.pathname
    try {
      await navigator.clipboard.writeText(address)
      setSaid('Copied')
    } catch {
      setSaid(address) // no clipboard on an insecure page: show it for copying by hand
    }
    setTimeout(() => setSaid(null), 4000)
  }
  return (
    <button
      type="button"
      data-testid="copy-link-button"
      onClick={() => void copy()}
      className="flex h-8 min-w-0 items-center gap-1.5 rounded-lg px-2 text-sm text-muted hover:bg-hover hover:text-text"
    >
      {said === 'Copied' ? (
        <Check size={15} aria-hidden className="shrink-0 text-accent" />
      ) : (
        <Link2 size={15} aria-hidden className="shrink-0" />
      )}
      <span className="truncate select-text" aria-live="polite">
        {said ?? 'Copy link'}
      </span>
    </button>
  )
}
