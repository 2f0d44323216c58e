import type { Log } from './log.ts'

export type Shutdown = {
  /** Aborts at the first SIGTERM or SIGINT, with a reason that names it. */
  readonly signal: AbortSignal
  /** Ends the process at once, saying why. */
  readonly exit: (code: number, reason: string) => never
}

/**
 * How the process ends. SIGTERM or SIGINT: everyone who follows `signal` has `graceMs` to finish, then the process exits
 * with 1; a second signal exits at once. An error that nobody caught exits with 1: a process in an unknown state must not
 * go on writing.
 */
export function listenForShutdown(options: { readonly log: Log; readonly graceMs?: number }): Shutdown {
  const { log, graceMs = 10_000 } = options
  const stop = new AbortController()
  const exit = (code: number, reason: string): never => {
    log[code === 0 ? 'info' : 'error']({ code, reason }, 'exiting')
    process.exit(code)
  }
  const onSignal = (name: NodeJS.Signals): void => {
    if (stop.signal.aborted) exit(1, `second signal (${name}) while stopping`)
    log.info({ signal: name, graceMs }, 'stopping')
    setTimeout(() => exit(1, `not stopped ${graceMs / 1000} s after ${name}`), graceMs).unref()
    stop.abort(new Error(`stopping after ${name}`))
  }
  process.on('SIGTERM', onSignal)
  process.on('SIGINT', onSignal)
  for (const kind of ['uncaughtException', 'unhandledRejection'] as const) {
    process.on(kind, (err: unknown) => {
      log.error({ err, kind }, 'an error that nobody caught')
      exit(1, kind)
    })
  }
  return { signal: stop.signal, exit }
}
