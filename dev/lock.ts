// Locks between the processes of this machine that share a cache folder.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { cacheDirectory } from './paths.ts'

/**
 * Runs `work` while no other process runs work under the same name; waits for one that does, and says so on standard error.
 * The kernel frees the lock when this process ends, however it ends. A second lock of the same name inside `work` would wait for ever.
 * @param name becomes a file in `<cache>/locks`, which stays there
 */
export async function withLock<T>(name: string, work: () => Promise<T>): Promise<T> {
  const folder = join(cacheDirectory, 'locks')
  await mkdir(folder, { recursive: true })
  const file = join(folder, name)
  let release = await take(['--nonblock', file])
  if (!release) {
    process.stderr.write(`waiting for another process, which has the lock ${file}\n`)
    release = await take([file])
  }
  try {
    return await work()
  } finally {
    await release?.()
  }
}

/** What frees the lock; undefined when another process has it and `--nonblock` is among the arguments. */
async function take(args: readonly string[]): Promise<(() => Promise<void>) | undefined> {
  // Node has no flock(2). The lock is held by a process that ends when its standard input does, and so with this one.
  const holder = spawn('flock', ['--no-fork', ...args, 'sh', '-c', 'echo held; exec cat'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const ended = once(holder, 'exit') as Promise<[number | null, NodeJS.Signals | null]>
  const [code, signal] = await Promise.race([once(holder.stdout, 'data').then(() => ['held'] as const), ended])
  if (code === 'held')
    return async () => {
      holder.stdin.end()
      await ended
    }
  if (code === 1) return undefined
  throw new Error(`flock ${args.join(' ')} ended with ${code ?? signal}`)
}
