// Runs programs: captured, or written to a log file with a line now and then for whoever waits.
import { spawn } from 'node:child_process'
import { createReadStream } from 'node:fs'
import { mkdir, open, readFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { text } from 'node:stream/consumers'

export type Say = (line: string) => void

export type CaptureOptions = {
  /** Written to the program's standard input, or the path of a file that becomes it. */
  readonly input?: string | { readonly file: string }
  readonly env?: NodeJS.ProcessEnv
  readonly cwd?: string
  readonly signal?: AbortSignal
}

/** A program ended otherwise than with status 0. `stderr` is everything that it wrote there. */
export class CommandError extends Error {
  readonly code: number | null
  readonly stderr: string
  constructor(argv: readonly string[], code: number | null, signal: string | null, stderr: string) {
    const how = signal ? `was ended by ${signal}` : `exited with ${code}`
    super(`\`${argv.join(' ').slice(0, 300)}\` ${how}: ${lastLines(stderr, 15) || '(it wrote nothing to stderr)'}`)
    this.name = 'CommandError'
    this.code = code
    this.stderr = stderr
  }
}

/**
 * Runs a program without a shell and returns its standard output.
 * @throws CommandError unless it exits with 0.
 */
export async function capture(argv: readonly string[], options: CaptureOptions = {}): Promise<string> {
  const { input, env, cwd, signal } = options
  const [program = '', ...args] = argv
  const child = spawn(program, args, { env, cwd, signal, stdio: ['pipe', 'pipe', 'pipe'] })
  const ended = new Promise<{ code: number | null; by: string | null }>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, by) => resolve({ code, by }))
  })
  // A program may end before it has read its input; what it then exits with says more than the broken pipe.
  child.stdin.on('error', () => {})
  if (typeof input === 'object') createReadStream(input.file).pipe(child.stdin)
  else child.stdin.end(input)
  const [stdout, stderr, { code, by }] = await Promise.all([text(child.stdout), text(child.stderr), ended])
  if (code !== 0) throw new CommandError(argv, code, by, stderr)
  return stdout
}

/**
 * Runs a long program with its output in a log file, and says every 30 s that it still runs.
 * @throws Error with the end of the log and its path.
 */
export async function logged(
  what: string,
  argv: readonly string[],
  log: string,
  say: Say,
  env: NodeJS.ProcessEnv = process.env,
): Promise<void> {
  await mkdir(dirname(log), { recursive: true })
  const file = await open(log, 'a')
  const started = performance.now()
  const seconds = () => Math.round((performance.now() - started) / 1000)
  const heartbeat = setInterval(() => say(`  ${what}: still running, ${seconds()} s (log: ${log})`), 30_000)
  try {
    const [program = '', ...args] = argv
    const child = spawn(program, args, { env, stdio: ['ignore', file.fd, file.fd] })
    const code = await new Promise<number | null>((resolve, reject) => {
      child.on('error', reject)
      child.on('exit', resolve)
    })
    if (code !== 0) throw new Error(`${what} failed; the whole log is ${log}\n${await tail(log)}`)
  } finally {
    clearInterval(heartbeat)
    await file.close()
  }
}

/** The last lines of a log file, or a note that there is none. */
export async function tail(log: string, lines = 15): Promise<string> {
  const content = await readFile(log, 'utf8').catch((cause: NodeJS.ErrnoException) => `(no log: ${cause.code})`)
  return lastLines(content, lines)
}

function lastLines(content: string, lines: number): string {
  return content.trim().split('\n').slice(-lines).join('\n')
}
