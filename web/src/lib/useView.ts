import { type RefObject, useEffect } from 'react'
import type { View } from '@/rtc/types'

const SETTLE_MS = 250 // while a window is dragged larger, only its last size matters

/** Calls `report` with the size of an element in pixels of the screen, and whether it is out of sight, at each change. */
export function useView(ref: RefObject<HTMLElement | null>, report: ((view: View) => void) | null) {
  useEffect(() => {
    const element = ref.current
    if (!element || !report) return
    let inSight = true
    let timer: ReturnType<typeof setTimeout> | undefined
    const tell = () => {
      const { width, height } = element.getBoundingClientRect()
      const scale = window.devicePixelRatio
      const hidden = !inSight || document.visibilityState === 'hidden'
      report({ width: Math.round(width * scale), height: Math.round(height * scale), hidden })
    }
    const soon = () => {
      clearTimeout(timer)
      timer = setTimeout(tell, SETTLE_MS)
    }
    const sizes = new ResizeObserver(soon)
    const sight = new IntersectionObserver(([entry]) => {
      inSight = entry!.isIntersecting
      soon()
    })
    sizes.observe(element)
    sight.observe(element)
    document.addEventListener('visibilitychange', soon)
    return () => {
      clearTimeout(timer)
      sizes.disconnect()
      sight.disconnect()
      document.removeEventListener('visibilitychange', soon)
    }
  }, [ref, report])
}
