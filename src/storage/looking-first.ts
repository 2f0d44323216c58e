/** Any store whose writes of small objects are each preceded by a look, also when a write is tried again. */
import type { ObjectStore } from './object-store.ts'

/** `look` throws to prevent the write. Goes below retries: minutes may pass between two tries, and more on a machine that was asleep. */
export function lookingFirst(store: ObjectStore, look: () => Promise<void>): ObjectStore {
  return {
    async put(key, body, signal) {
      await look()
      return store.put(key, body, signal)
    },
    async putIfAbsent(key, body, signal) {
      await look()
      return store.putIfAbsent(key, body, signal)
    },
    get: (key, maxBytes, signal) => store.get(key, maxBytes, signal),
    read: (key, signal) => store.read(key, signal),
    head: (key, signal) => store.head(key, signal),
    list: (prefix, options) => store.list(prefix, options),
    delete: (keys, signal) => store.delete(keys, signal),
    createUpload: (key, options) => store.createUpload(key, options),
    listUploads: (key, signal) => store.listUploads(key, signal),
    uploadPart: (key, uploadId, number, body, signal, sha256) =>
      store.uploadPart(key, uploadId, number, body, signal, sha256),
    completeUpload: (key, uploadId, parts, bytes, signal) => store.completeUpload(key, uploadId, parts, bytes, signal),
    abortUpload: (key, uploadId, signal) => store.abortUpload(key, uploadId, signal),
    close: () => store.close(),
  }
}
