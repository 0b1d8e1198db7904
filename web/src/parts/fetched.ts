// A document that is fetched for what is shown, and again once its run changed.
import { useEffect, useState } from 'preact/hooks'
import { ask, news, run } from '../state'

export function useFetched<T>(fetch: (run: string) => Promise<T>, ...by: unknown[]): T | null {
  const [found, setFound] = useState<{ of: string; document: T } | null>(null)
  const key = run.value
  const changed = news.value[key] ?? 0
  const of = JSON.stringify([key, ...by])
  useEffect(() => {
    let wanted = true
    if (key) void ask(fetch(key)).then((document) => { if (wanted && document) setFound({ of, document }) })
    return () => { wanted = false }
  }, [of, changed])
  return found?.of === of ? found.document : null
}

// The same, that keeps showing the last one while the next comes.
export function useLatest<T>(fetch: (run: string) => Promise<T>, ...by: unknown[]): T | null {
  const [found, setFound] = useState<{ run: string; document: T } | null>(null)
  const key = run.value
  const changed = news.value[key] ?? 0
  useEffect(() => {
    let wanted = true
    if (key) void ask(fetch(key)).then((document) => { if (wanted && document) setFound({ run: key, document }) })
    return () => { wanted = false }
  }, [key, changed, JSON.stringify(by)])
  return found?.run === key ? found.document : null
}
