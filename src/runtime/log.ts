import { destination, pino } from 'pino'
import type { DestinationStream } from 'pino'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'
export const logLevels = ['debug', 'info', 'warn', 'error'] as const satisfies readonly LogLevel[]

/** Writes one line: the fields, then what happened as a static sentence. Errors go under `err`. */
export type LogLine = (fields: Readonly<Record<string, unknown>>, message: string) => void

/** What the runtime and the controllers log with; a pino logger is one. */
export type Log = Readonly<Record<LogLevel, LogLine>> & { child(fields: Readonly<Record<string, unknown>>): Log }

/** Field names that hold credentials wherever they come from, at the top and one or two levels down. */
const credentialFields = [
  'token',
  'password',
  'secret',
  'authorization',
  'Authorization',
  'accessKey',
  'secretKey',
  'accessKeyId',
  'secretAccessKey',
  'sessionToken',
  'AWS_ACCESS_KEY_ID',
  'AWS_SECRET_ACCESS_KEY',
  'AWS_SESSION_TOKEN',
]

/**
 * JSON lines on stdout (or `stream`), written synchronously, so that the last line before an exit is not lost.
 * Levels are words and times ISO 8601, as log collectors expect.
 */
export function createLog(options: { readonly level?: LogLevel; readonly stream?: DestinationStream } = {}): Log {
  return pino(
    {
      level: options.level ?? 'info',
      base: null,
      messageKey: 'message',
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: label => ({ level: label }) },
      redact: {
        paths: credentialFields.flatMap(field => [field, `*.${field}`, `*.*.${field}`]),
        censor: '[redacted]',
      },
    },
    options.stream ?? destination({ dest: 1, sync: true }),
  )
}

/** For tests and for callers that have nothing to say. */
export const silentLog: Log = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silentLog,
}
