/** Every message that tells a person what went wrong, and what to do about it. */

import type { CallState, EndReason } from '@/rtc/call'
import type { MediaProblem } from '@/rtc/media'
import type { Source } from '@/rtc/types'

export const MEDIA_PROBLEMS: Record<MediaProblem, string> = {
  insecure:
    'This page was not loaded over https, so the browser gives no access to camera and microphone. Open it over https, or join to watch and listen.',
  denied:
    'The browser was told not to give access to the camera or the microphone. Allow both next to the address, then reload, or join without.',
  missing: 'No camera or no microphone was found. Plug one in and reload, or join without.',
  busy: 'The camera or the microphone could not be opened: another program may hold it. Close that, then reload, or join without.',
}

const REFUSALS: Record<string, string> = {
  limit: 'The room is full, or too many people try to join at once. Wait a moment, then join again.',
  unauthorized: 'This server lets in only people with a valid invitation. Ask for a new link, then open that.',
  forbidden: 'Your invitation is not for this room. Ask for a link to it.',
  unsupported:
    'The browser and the server have no way of sending media in common. Try a current Chrome, Firefox or Safari.',
  bad_request:
    'The server did not understand the request to join. Reload the page; if that does not help, tell whoever runs it.',
}

export function refusal(error: Error | null): string {
  if (!error) return 'The server closed the connection. Join again.'
  const code = 'code' in error ? String(error.code) : error.name === 'UnsupportedError' ? 'unsupported' : ''
  return REFUSALS[code] ?? `${error.message}. Reload the page, then join again.`
}

export function ending(end: { reason: EndReason; error: Error | null }): { title: string; text: string } {
  switch (end.reason) {
    case 'left':
      return { title: 'You left the room', text: 'The others can go on without you.' }
    case 'replaced':
      return { title: 'You are in the room in another tab', text: 'That tab took over. Join again to come back here.' }
    case 'room-closed':
      return { title: 'The room was closed', text: 'Joining again opens it anew.' }
    case 'refused':
      return { title: 'The server ended the connection', text: refusal(end.error) }
    case 'failed':
      return { title: 'Could not join', text: refusal(end.error) }
  }
}

const NAMES: Record<Source, string> = {
  mic: 'Your microphone',
  camera: 'Your camera',
  screen: 'Your screen',
  'screen-audio': 'The sound of your screen',
}

/** What is wrong with the call just now, or null. */
export function notice(call: CallState): string | null {
  if (call.status === 'connecting') return 'Connecting to the server…'
  if (call.status === 'reconnecting') {
    return call.serverStopping
      ? 'The server is restarting. You will be back by yourself.'
      : 'The connection to the server was lost. Reconnecting…'
  }
  if (call.media === 'interrupted') return 'Sound and picture were interrupted. Restoring them…'
  return null
}

export function problemText({ error, source }: NonNullable<CallState['problem']>): string {
  const what = source ? `${NAMES[source]} is not being sent` : 'Some sound or picture is missing'
  return `${what}: ${error.message}. Leave and join again if it stays so.`
}
