import { useEffect, useEffectEvent } from 'react'

/** Calls back with the input's level (0..1) each animation frame; kept out of React state on purpose. */
export function useAudioLevel(input: MediaStreamTrack | undefined, onLevel: (level: number) => void) {
  const report = useEffectEvent(onLevel)
  useEffect(() => {
    if (!input) return
    const context = new AudioContext()
    const source = context.createMediaStreamSource(new MediaStream([input]))
    const analyser = new AnalyserNode(context, { fftSize: 512, smoothingTimeConstant: 0.6 })
    source.connect(analyser)
    const samples = new Float32Array(analyser.fftSize)
    let frame = requestAnimationFrame(function tick() {
      analyser.getFloatTimeDomainData(samples)
      const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length
      const decibels = 10 * Math.log10(power + 1e-9)
      report(Math.min(1, Math.max(0, (decibels + 60) / 50)))
      frame = requestAnimationFrame(tick)
    })
    // Browsers start an AudioContext suspended until the person has touched the page.
    const resume = () => void context.resume()
    addEventListener('pointerdown', resume)
    addEventListener('keydown', resume)
    return () => {
      cancelAnimationFrame(frame)
      removeEventListener('pointerdown', resume)
      removeEventListener('keydown', resume)
      report(0)
      void context.close()
    }
  }, [input])
}
