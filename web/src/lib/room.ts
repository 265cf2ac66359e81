import { useSyncExternalStore } from 'react'

const ROOM = /^[a-z0-9-]{1,64}$/ // as the server's (docs/signaling.md)
const WORDS =
  'amber birch cedar delta ember fjord grove harbor inlet juniper kelp lumen maple north opal prism quartz river sable tundra'.split(
    ' ',
  )

/** The room in /r/<room>, or in /r/?room=<room> where a static server cannot rewrite paths. */
export function roomOf(location: Pick<Location, 'pathname' | 'search'>): string | null {
  const name = location.pathname.split('/')[2] || new URLSearchParams(location.search).get('room') || ''
  return ROOM.test(name) ? name : null
}

/** What somebody typed, or a pasted address of a room, as a room's name; empty if nothing is left of it. */
export function toRoomName(text: string): string {
  const pasted = /\/r\/([a-z0-9-]+)/.exec(text)?.[1]
  return (pasted ?? text)
    .toLowerCase()
    .normalize('NFKD')
    .replace(/\p{M}+/gu, '') // é is e
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '')
    .slice(0, 64)
}

/** Three words and a number: 2^29 names, so that nobody meets a stranger by chance. */
export function randomRoomName(): string {
  const pick = crypto.getRandomValues(new Uint32Array(4))
  const words = [...pick.slice(0, 3)].map((n) => WORDS[n % WORDS.length])
  return [...words, (pick[3] ?? 0) % 65_536].join('-')
}

export interface Visit {
  room: string | null
  /** From `?name=`. */
  name: string
  /** From `?token=`: a join token, where the server asks for one. */
  token: string | undefined
  /** From `?join=1`: enter without the lobby. */
  skipLobby: boolean
}

let known: { href: string; visit: Visit } | undefined

/** What the address asks for. The same address gives the same object, as useSyncExternalStore needs. */
export function visitOf(location: Pick<Location, 'href' | 'pathname' | 'search'>): Visit {
  if (known?.href !== location.href) {
    const query = new URLSearchParams(location.search)
    const name = (query.get('name') ?? '').trim().slice(0, 80)
    const visit = {
      room: roomOf(location),
      name,
      token: query.get('token') ?? undefined,
      skipLobby: query.get('join') === '1' && name !== '',
    }
    known = { href: location.href, visit }
  }
  return known.visit
}

const never = () => () => {}

/** Undefined while prerendered and hydrating (so that both renders agree), then what the address asks for. */
export function useVisit(): Visit | undefined {
  return useSyncExternalStore<Visit | undefined>(
    never,
    () => visitOf(location),
    () => undefined,
  )
}
