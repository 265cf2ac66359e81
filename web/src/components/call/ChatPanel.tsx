import { SendHorizontal, X } from 'lucide-react'
import { useEffect, useRef, useState } from 'react'
import { Avatar } from '@/components/ui/Avatar'
import type { ChatMessage } from '@/rtc/types'
import { useCall } from '@/store/call'
import { useUi } from '@/store/ui'

const time = new Intl.DateTimeFormat('en', { hour: '2-digit', minute: '2-digit', hour12: false })

function Message({ message: { displayName, text, at }, mine }: { message: ChatMessage; mine: boolean }) {
  return (
    <li data-testid="chat-message" className="flex gap-3">
      <Avatar name={displayName} size={30} />
      <div className="min-w-0">
        <p className="text-xs text-muted">
          <span className="mr-2 font-semibold text-text">{mine ? 'You' : displayName}</span>
          {time.format(at)}
        </p>
        <p className="mt-0.5 text-sm break-words whitespace-pre-wrap">{text}</p>
      </div>
    </li>
  )
}

function ChatForm() {
  const call = useCall((state) => state.call)
  const [text, setText] = useState('')
  const [failed, setFailed] = useState(false)
  async function send() {
    const wanted = text.trim()
    if (!wanted || !call) return
    setText('')
    setFailed(false)
    try {
      await call.sendChat(wanted)
    } catch {
      setFailed(true)
      setText((typed) => typed || wanted) // nothing that was typed is lost
    }
  }
  return (
    <form
      className="border-t border-line p-3"
      onSubmit={(event) => {
        event.preventDefault()
        void send()
      }}
    >
      {failed && (
        <p role="alert" className="mb-2 text-xs text-warn">
          Not sent. Send it again when the connection is back.
        </p>
      )}
      <div className="flex gap-2">
        <input
          data-testid="chat-input"
          aria-label="Message"
          placeholder="Message everyone"
          maxLength={2000}
          value={text}
          onChange={(event) => setText(event.target.value)}
          className="h-10 min-w-0 flex-1 rounded-xl border border-edge/60 bg-ink px-3 text-sm placeholder:text-muted"
        />
        <button
          type="submit"
          aria-label="Send"
          data-testid="chat-send-button"
          disabled={!text.trim()}
          className="grid size-10 place-items-center rounded-xl bg-accent text-ink disabled:bg-hover disabled:text-muted"
        >
          <SendHorizontal size={18} aria-hidden />
        </button>
      </div>
    </form>
  )
}

export function ChatPanel({ messages, peerId }: { messages: ChatMessage[]; peerId: string | null }) {
  const toggleChat = useUi((state) => state.toggleChat)
  const markRead = useCall((state) => state.markRead)
  const end = useRef<HTMLLIElement>(null)
  useEffect(() => {
    if (messages.length > 0) end.current?.scrollIntoView({ block: 'end' })
    markRead()
  }, [messages, markRead])
  return (
    <aside
      aria-label="Chat"
      data-testid="chat-panel"
      className="flex shrink-0 animate-rise flex-col overflow-hidden rounded-xl border border-line bg-panel max-md:fixed max-md:inset-0 max-md:z-20 max-md:rounded-none max-md:border-0 md:w-80"
    >
      <div className="flex shrink-0 items-center justify-between border-b border-line py-2 pr-2 pl-4">
        <h2 className="text-sm font-semibold">Chat</h2>
        <button
          type="button"
          aria-label="Close chat"
          onClick={toggleChat}
          className="grid size-9 place-items-center rounded-full text-muted hover:bg-hover hover:text-text"
        >
          <X size={18} aria-hidden />
        </button>
      </div>
      <ul aria-live="polite" className="flex thin-scroll flex-1 flex-col gap-4 overflow-y-auto p-4">
        {messages.map((message) => (
          <Message key={message.id} message={message} mine={message.peerId === peerId} />
        ))}
        <li ref={end} aria-hidden />
      </ul>
      <ChatForm />
    </aside>
  )
}
