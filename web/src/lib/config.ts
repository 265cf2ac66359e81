export const APP_NAME = 'Sightline'

/** Where signaling is: the page's own origin, or in development the server named by NEXT_PUBLIC_SIGHTLINE_URL. */
export function signalingUrl(
  location: Pick<Location, 'origin'>,
  server = process.env.NEXT_PUBLIC_SIGHTLINE_URL,
): string {
  const url = new URL('/ws', server || location.origin)
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:'
  return url.href
}
