// The processes of a backup pod, by what they are, and the blows that fall on them.
import { readFileSync } from 'node:fs'
import type { Pod } from '../mover/backup-pod.ts'
import type { Blow } from './scenario.ts'

/** Strikes now, without a wait. What is not there (yet, or any more) is not hit. */
export function strike(pod: Pod, blow: Exclude<Blow, 'the mover sleeps past its expiry'>): void {
  const { mover, source } = pod
  const [first] = childrenOf(source?.process.pid)
  const [helper] = childrenOf(first).filter(pid => nameOf(pid) === 'artifact')
  const [command] = childrenOf(helper)
  switch (blow) {
    case 'the mover is killed':
      mover.process.kill('SIGKILL')
      return
    case 'the mover is told to stop':
      mover.process.kill('SIGTERM')
      return
    case 'the first process is killed':
      return send(first, 'SIGKILL')
    case 'the first process is told to stop':
      return send(first, 'SIGTERM')
    case 'the helper is killed':
      return send(helper, 'SIGKILL')
    case 'the helper is told to stop':
      return send(helper, 'SIGTERM')
    case 'the command is killed':
      return send(command, 'SIGKILL')
    case 'the command is told to stop':
      return send(command, 'SIGTERM')
    case 'the pod is told to stop':
      mover.process.kill('SIGTERM')
      return send(first, 'SIGTERM')
  }
}

/** For a pod that does not come to its end. */
export function killAll({ mover, source }: Pod): void {
  mover.process.kill('SIGKILL')
  source?.process.kill('SIGKILL')
}

function send(pid: number | undefined, signal: NodeJS.Signals): void {
  try {
    if (pid !== undefined) process.kill(pid, signal)
  } catch (error) {
    // Gone since it was looked up.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/** Oldest first. */
function childrenOf(pid: number | undefined): readonly number[] {
  if (pid === undefined) return []
  return readText(`/proc/${pid}/task/${pid}/children`).trim().split(' ').filter(Boolean).map(Number)
}

function nameOf(pid: number): string {
  return readText(`/proc/${pid}/comm`).trim()
}

/** Nothing for a process that has just ended. */
function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
