/** The subcommand `mover` of `main.ts`. */
import { MoverFailure } from './failure.ts'

/**
 * Runs the task of `process.env` and ends the process. The handlers come before everything else is loaded: a mover is PID 1, to which
 * a signal without a handler does nothing.
 */
export async function moverCommand(places: { readonly shared?: string; readonly terminationLog?: string } = {}) {
  const stop = new AbortController()
  for (const name of ['SIGTERM', 'SIGINT'] as const) {
    process.on(name, () => {
      stop.abort(new MoverFailure('Terminated', `the pod was told to stop (${name}): deleted, evicted, or out of time`))
    })
  }
  const [{ createLog }, { runMover }] = await Promise.all([import('../runtime/log.ts'), import('./mover.ts')])
  const code = await runMover({ environment: process.env, log: createLog(), ...places }, stop.signal)
  // Connections that are kept alive must not hold the process.
  process.exit(code)
}
