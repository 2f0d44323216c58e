// A store of which some methods are others.
import type { ObjectStore } from '../../src/storage/object-store.ts'

export function changed(store: ObjectStore, change: Partial<ObjectStore>): ObjectStore {
  return new Proxy(store, {
    get: (target, name) => {
      const own = (change as Record<string | symbol, unknown>)[name]
      if (own !== undefined) return own
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
  })
}

/** The same store so much later, ms, by what it answers when it is looked at. */
export function later(store: ObjectStore, ms: number): ObjectStore {
  const head: ObjectStore['head'] = async (key, signal) => {
    const found = await store.head(key, signal)
    return found && { ...found, answeredAt: (found.answeredAt ?? Date.now()) + ms }
  }
  return changed(store, { head })
}
