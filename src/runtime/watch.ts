import type { KubeObject } from './resource.ts'

/** One line of a watch stream. ERROR carries a Status in place of an object. */
export type WatchEvent =
  | { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK'; readonly object: KubeObject }
  | { readonly type: 'ERROR'; readonly object: unknown }
