/** Any store whose writes of small objects, or whose deletions, are each preceded by a look, also when one is tried again. */
import type { ObjectStore } from './object-store.ts'

export interface Looks {
  /** Before each write of an object that is no multipart upload. */
  readonly writing?: () => Promise<void>
  /** Before each deletion, and each abort of an upload. */
  readonly deleting?: () => Promise<void>
}

/** A look throws to prevent what follows. Goes below retries: minutes may pass between two tries, and more on a machine that was asleep. */
export function lookingFirst(store: ObjectStore, { writing, deleting }: Looks): ObjectStore {
  return {
    async put(key, body, signal) {
      await writing?.()
      return store.put(key, body, signal)
    },
    async putIfAbsent(key, body, signal) {
      await writing?.()
      return store.putIfAbsent(key, body, signal)
    },
    async replaceIfUnchanged(key, body, etag, signal) {
      await writing?.()
      return store.replaceIfUnchanged(key, body, etag, signal)
    },
    get: (key, maxBytes, signal) => store.get(key, maxBytes, signal),
    getTagged: (key, maxBytes, signal) => store.getTagged(key, maxBytes, signal),
    read: (key, options) => store.read(key, options),
    head: (key, signal) => store.head(key, signal),
    list: (prefix, options) => store.list(prefix, options),
    async delete(keys, signal) {
      await deleting?.()
      return store.delete(keys, signal)
    },
    createUpload: (key, options) => store.createUpload(key, options),
    listUploads: (key, signal) => store.listUploads(key, signal),
    uploadPart: (key, uploadId, number, body, signal, sha256) =>
      store.uploadPart(key, uploadId, number, body, signal, sha256),
    completeUpload: (key, uploadId, parts, bytes, signal) => store.completeUpload(key, uploadId, parts, bytes, signal),
    async abortUpload(key, uploadId, signal) {
      await deleting?.()
      return store.abortUpload(key, uploadId, signal)
    },
    close: () => store.close(),
  }
}
