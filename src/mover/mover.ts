/** The mover: one task, one result, one exit code. */
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { exitCodeOf, tooLateExitCode } from '../api/mover/reasons.ts'
import { moverEnvironment, moverPaths } from '../api/mover/pod.ts'
import { parseMoverTask, type MoverTask } from '../api/mover/task.ts'
import type { Log } from '../runtime/log.ts'
import { ControlChannel } from './protocol/control.ts'
import { failureOf, MoverFailure } from './failure.ts'
import { holdLifeline, type Lifeline } from './protocol/fifo.ts'
import { identityOf, required, type Environment, type MoverIdentity } from './identity.ts'
import { Report } from './protocol/report.ts'

export interface MoverSetting {
  readonly environment: Environment
  readonly log: Log
  /** Default: `moverPaths`. */
  readonly shared?: string
  readonly terminationLog?: string
  /** ms since the epoch; default: `Date.now`. Decides what is left over, and stands in manifests. */
  readonly now?: () => number
  /** Called once all that the task needs is loaded, and before it begins. */
  readonly loaded?: () => void
}

interface Container {
  readonly control: ControlChannel
  readonly lifeline: Lifeline
}

/**
 * Does the task of the environment and returns the process's exit code (`moverReasons`). Aborting the signal (SIGTERM), with a
 * MoverFailure as its reason, ends it in less than the pod's 30 s of grace; once a backup is committed it returns 0 whatever happens.
 */
export async function runMover(setting: MoverSetting, signal: AbortSignal): Promise<number> {
  const { environment, log, shared = moverPaths.shared, terminationLog = moverPaths.terminationLog } = setting
  const { now = Date.now, loaded } = setting
  // Before anything that can fail: the command's container waits for it, and must see its end.
  const container = openContainer(shared)
  const report = new Report(terminationLog, log, { phase: 'starting', startedAt: Date.now() })
  try {
    const identity = identityOf(environment)
    report.update({ run: identity.run, attempt: identity.attempt })
    const task = readTask(environment)
    const run = await load(task, identity, { container, shared, report, now, signal })
    loaded?.()
    await run()
  } catch (error) {
    if (report.message.phase === 'committed') {
      report.warn('RetentionIncomplete', failureOf(error).message)
    } else if (report.message.phase !== 'failed') {
      report.fail(failureOf(error))
    }
  } finally {
    // For a command's container that starts only now.
    if (container) writeFileSync(join(shared, 'gone'), '')
    container?.control.close()
    container?.lifeline.cut()
  }
  const { phase, reason, tooLate } = report.message
  const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage()
  const cpuMs = Math.round((userCPUTime + systemCPUTime) / 1000)
  log.info({ phase, reason, cpuMs, maxRssMiB: Math.round(maxRSS / 1024) }, 'end')
  if (phase !== 'failed') return 0
  return tooLate ? tooLateExitCode : exitCodeOf(reason ?? 'Internal')
}

interface TaskSetting {
  readonly container: Container | undefined
  readonly shared: string
  readonly report: Report
  readonly now: () => number
  readonly signal: AbortSignal
}

/** Each kind loads only what it needs: the start of a pod is part of every backup. */
async function load(
  task: MoverTask,
  identity: MoverIdentity,
  setting: TaskSetting,
): Promise<() => Promise<void> | void> {
  const { container, report, signal } = setting
  switch (task.kind) {
    case 'probe': {
      const { runProbe } = await import('./tasks/probe.ts')
      return () => runProbe(task, identity, report, setting.now(), signal)
    }
    case 'catalog': {
      const { runCatalog } = await import('./tasks/catalog-page.ts')
      return () => runCatalog(task, report, setting.now(), signal)
    }
    case 'hold': {
      const { runHold } = await import('./tasks/hold.ts')
      return () => runHold(task, report, setting.now(), signal)
    }
    case 'resolve': {
      const { runResolve } = await import('./tasks/resolve.ts')
      return () => runResolve(task, report, setting.now(), signal)
    }
    case 'restore': {
      const { runRestore } = await import('./restore/restore.ts')
      return () => runRestore(task, setting)
    }
    case 'start':
      return () => report.update({ phase: 'done', finishedAt: Date.now() })
    case 'backup': {
      if (!container) throw new MoverFailure('Internal', `${setting.shared} was not prepared by the init container`)
      const { runBackup } = await import('./backup/backup.ts')
      return () => runBackup(task, { ...container, ...setting, identity })
    }
  }
}

function readTask(environment: Environment): MoverTask {
  const text = required(environment, moverEnvironment.task)
  try {
    return parseMoverTask(text)
  } catch (error) {
    throw new MoverFailure('InvalidTask', (error as Error).message, { cause: error })
  }
}

/** Only the pod of a backup, or of a restore with a command, has another container. */
function openContainer(shared: string): Container | undefined {
  const control = join(shared, 'ctl')
  if (!existsSync(control)) return undefined
  return { control: new ControlChannel(control), lifeline: holdLifeline(join(shared, 'life')) }
}
