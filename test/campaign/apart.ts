// A long test in a thread of its own: node:test follows every promise of the thread in which it runs, and that is a fifth of the time of
// what waits a million times.
import { once } from 'node:events'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'

type Work = { readonly module: string; readonly name: string; readonly argument: unknown }

/**
 * Calls what a module exports under this name. What it is given, gives back or throws is copied.
 * @param module as `import.meta.resolve` gives it; node:test must not be among what it imports
 */
export async function apart<T>(module: string, name: string, argument: unknown): Promise<T> {
  const worker = new Worker(new URL(import.meta.url), { workerData: { module, name, argument } satisfies Work })
  // Rejects with what is thrown there.
  const [result] = (await once(worker, 'message')) as [T]
  return result
}

if (!isMainThread) {
  const { module, name, argument } = workerData as Work
  const { [name]: work } = (await import(module)) as Record<string, (argument: unknown) => Promise<unknown>>
  if (!work) throw new TypeError(`${module} exports no ${name}`)
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread is no window
  parentPort?.postMessage(await work(argument))
}
