import { useEffect, useRef } from 'react'

interface Props {
  stream: MediaStreamTrack
  testId: 'local-video' | 'remote-video'
  mirrored?: boolean
  fit?: 'cover' | 'contain'
}

export function Video({ stream, testId, mirrored = false, fit = 'cover' }: Props) {
  const ref = useRef<HTMLVideoElement>(null)
  useEffect(() => {
    const video = ref.current!
    video.srcObject = new MediaStream([stream])
    return () => {
      video.srcObject = null
    }
  }, [stream])
  return (
    <video
      ref={ref}
      data-testid={testId}
      autoPlay
      playsInline
      muted
      className={`size-full ${fit === 'cover' ? 'object-cover' : 'object-contain'} ${mirrored ? '-scale-x-100' : ''}`}
    />
  )
}
