// What is far below is made once it comes near to what is seen, so that the first picture does not wait for it.
import type { ComponentChildren } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { kind } from '../state'

export function Later({ height, children }: { height: number; children: ComponentChildren }) {
  const place = useRef<HTMLDivElement>(null)
  const [near, setNear] = useState(kind === 'report') // which is printed as well, and holds fewer points
  useEffect(() => {
    if (near) return
    const seen = new IntersectionObserver((found) => { if (found.some((one) => one.isIntersecting)) { setNear(true); seen.disconnect() } }, { rootMargin: '300px' })
    seen.observe(place.current!)
    return () => seen.disconnect()
  }, [])
  return near ? <>{children}</> : <div ref={place} style={{ height: `${height}px` }} />
}
