/** The subcommand `mover` of `main.ts`. */
import { setFlagsFromString } from 'node:v8'
import { MoverFailure } from './failure.ts'

/**
 * Runs the task of `process.env` and ends the process. The handlers come before everything else is loaded: a mover is PID 1, to which
 * a signal without a handler does nothing.
 */
export async function moverCommand(
  given: { readonly shared?: string; readonly terminationLog?: string; readonly now?: () => number } = {},
) {
  const stop = new AbortController()
  for (const name of ['SIGTERM', 'SIGINT'] as const) {
    process.on(name, () => {
      stop.abort(new MoverFailure('Terminated', `the pod was told to stop (${name}): deleted, evicted, or out of time`))
    })
  }
  const [{ createLog }, { runMover }] = await Promise.all([import('../runtime/log.ts'), import('./mover.ts')])
  const code = await runMover({ environment: process.env, log: createLog(), loaded: saveMemory, ...given }, stop.signal)
  // Connections that are kept alive must not hold the process.
  process.exit(code)
}

/**
 * V8 takes what was compiled of the program, and of Node's own modules, only under the flags that it was compiled with: these come when all
 * is loaded.
 */
function saveMemory() {
  // Each part leaves some garbage that lives for as long as its request. By default the young generation grows under it, by 25 MiB, and
  // the old one to several times what is alive before it is collected (docs/decisions/0010-mover-protocol.md).
  setFlagsFromString('--semi-space-growth-factor=1')
  setFlagsFromString('--optimize-for-size')
  // A compiler's thread that needs memory waits for the main thread to collect garbage. One that has begun to exit never does, but waits for
  // the threads: such a mover would hang after its last word (https://github.com/nodejs/node/issues/54918). Its work is done by native
  // code; what there is of JavaScript has the one compiler that works on the main thread.
  for (const compiler of ['concurrent-sparkplug', 'maglev', 'turbofan']) setFlagsFromString(`--no-${compiler}`)
}
