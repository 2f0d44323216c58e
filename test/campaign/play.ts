// Plays one scenario on the real mover and a real store, and says what is wrong afterwards. A failed run is never wrong: what must not be
// is a backup that is not what its command would have written, a good one that is gone, anything left behind, and a pod without an end.
import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { MoverMessage } from '../../src/api/mover/message.ts'
import { isPermanent } from '../../src/api/mover/reasons.ts'
import { layoutOf } from '../../src/storage/bucket/layout.ts'
import { makeRunDirectory, removeRunDirectory } from '../api/control-plane/run-directory.ts'
import { jobOf, runPod, startPod, taskFor, type BackupTaskInput, type Pod } from '../mover/backup-pod.ts'
import { startFaultProxy, type FaultProxy } from '../storage/s3-fault-proxy.ts'
import type { S3Server } from '../storage/s3-servers.ts'
import { alone, commandOf, families, openGate } from './commands.ts'
import { putEarlier } from './earlier.ts'
import { Reader, type Found } from './reader.ts'
import { dayMs, type Moment, type Mood, type Scenario } from './scenario.ts'
import { killAll, strike } from './victims.ts'

const secret = { accessKey: 'minioadmin', secretKey: 'minioadmin' }
const layout = layoutOf({ namespace: 'shop', policy: 'orders' })
/** Runs by the minute of their slot: earlier ones come before. */
const mainRun = jobOf(10)
const sleeperSlot = 20
const nextDaySlot = 30
const lastSlot = 40
const hourMs = 3_600_000
/** All of a pod's own limits are far below. */
const longestPodMs = 120_000
const phases: readonly MoverMessage['phase'][] = ['starting', 'waiting', 'receiving', 'committing', 'committed']

export type Outcome = {
  /** How the attempt ended on which the blow fell: a phase and reason, as its message says. */
  readonly end: string
  readonly committed: boolean
  readonly movers: number
  readonly problems: readonly string[]
}

export async function play(scenario: Scenario, server: S3Server): Promise<Outcome> {
  const directory = await makeRunDirectory()
  const bucket = await server.makeBucket()
  const stage = new Stage(scenario, server, bucket, directory)
  try {
    return await stage.play()
  } finally {
    stage.close()
    await removeRunDirectory(directory)
  }
}

class Stage {
  readonly #scenario: Scenario
  readonly #server: S3Server
  readonly #bucket: string
  readonly #directory: string
  readonly #reader: Reader
  readonly #problems: string[] = []
  /** What each run has to hold; a run that is not here must not be a backup. */
  readonly #right = new Map<string, Buffer>()
  /** Earlier backups whose data somebody has deleted. */
  readonly #lost = new Set<string>()
  #movers = 0
  #marks = 0

  constructor(scenario: Scenario, server: S3Server, bucket: string, directory: string) {
    this.#scenario = scenario
    this.#server = server
    this.#bucket = bucket
    this.#directory = directory
    this.#reader = new Reader(server, bucket)
  }

  close(): void {
    this.#reader.close()
  }

  async play(): Promise<Outcome> {
    const { nextDay, retention } = this.#scenario
    await this.#writePieces()
    await this.#learnWhatIsRight()
    await this.#putEarlier()
    const { end, committed } = await this.#mainRun()
    const good = await this.#examine('after the run')
    const there = [...this.#right.keys()].filter(run => run !== mainRun && !this.#lost.has(run)).length
    const wanted = Math.min(retention, there + (good.includes(mainRun) ? 1 : 0))
    if (good.length < wanted)
      this.#wrong(`after the run only ${good.length} backups are whole, although there were ${wanted} to keep`)
    if (nextDay) {
      await this.#otherRun(nextDaySlot, nextDay)
      await this.#examineAgain('after a next day with faults', good)
    }
    const last = await this.#otherRun(lastSlot, [])
    if (last.phase !== 'committed' || last.warnings)
      this.#wrong(`the last run, with which nothing is wrong, says ${JSON.stringify(last)}`)
    await this.#examineAgain('after the sweep', good)
    await this.#lookForLeftovers()
    return { end, committed, movers: this.#movers, problems: this.#problems }
  }

  #wrong(problem: string): void {
    this.#problems.push(problem)
  }

  // ── before the run

  get #pieces(): string {
    return join(this.#directory, 'pieces')
  }

  async #writePieces(): Promise<void> {
    await mkdir(this.#pieces)
    for (const [index, piece] of this.#scenario.pieces.entries()) await writeFile(join(this.#pieces, `${index}`), piece)
  }

  async #learnWhatIsRight(): Promise<void> {
    const { shape } = this.#scenario
    if (shape.never) return
    const { bytes, status } = await alone(shape, this.#pieces, await this.#newMarks())
    const fails = families.failing.includes(shape)
    if (fails !== (status !== 0)) throw new Error(`alone the command ends with status ${status}`)
    if (!fails) this.#right.set(mainRun, bytes)
  }

  async #newMarks(): Promise<string> {
    const marks = join(this.#directory, `marks-${this.#marks++}`)
    await mkdir(marks)
    return marks
  }

  async #putEarlier(): Promise<void> {
    const backups = this.#scenario.earlier.map((each, index) => ({ ...each, run: jobOf(index) }))
    await putEarlier(this.#server, this.#bucket, backups)
    for (const { run, bytes, lost } of backups) {
      this.#right.set(run, bytes)
      if (lost) this.#lost.add(run)
    }
  }

  // ── runs

  async #mainRun(): Promise<{ readonly end: string; readonly committed: boolean }> {
    const { moods, second, blow } = this.#scenario
    const proxy = await this.#proxy(moods)
    try {
      const first = this.#attempt(proxy, blow)
      const twin = second === 'a twin' ? this.#attempt(proxy) : undefined
      const [message] = await Promise.all([first, twin])
      const failed = message?.phase !== 'committed'
      // A Job starts another pod unless its policy says that no retry helps.
      const final = message?.phase === 'failed' && message.reason && isPermanent(message.reason)
      if (second === 'a retry' && failed && !final) await this.#attempt(proxy)
      await proxy.settled()
      this.#checkUndisturbed(message)
      return { end: [message?.phase, message?.reason].filter(Boolean).join(' '), committed: !failed }
    } finally {
      await proxy.stop()
    }
  }

  /** Where nothing was done to a good command, it must have its backup: a campaign in which all fails would prove nothing. */
  #checkUndisturbed(message: MoverMessage | undefined): void {
    const { moods, blow, second, clockAheadMs } = this.#scenario
    if (moods.length > 0 || blow || second === 'a twin' || !this.#right.has(mainRun)) return
    // A clock that is hours behind lets the run expire before it has begun.
    if (clockAheadMs < -hourMs) return
    if (message?.phase !== 'committed') this.#wrong(`nothing was wrong, but the run says ${JSON.stringify(message)}`)
  }

  /** Limits are short where something is to meet them, and long enough for a busy machine where nothing is. */
  #task(endpoint: string, moods: readonly Mood[], change: Partial<BackupTaskInput>): BackupTaskInput {
    const { partBytes, maxParts, retention } = this.#scenario
    return taskFor({ endpoint }, this.#bucket, {
      partBytes,
      maxParts,
      retention,
      startTimeoutSeconds: 60,
      stallTimeoutSeconds: 60,
      storeIdleSeconds: moods.some(({ fault }) => fault.kind === 'silence') ? 1 : 30,
      storeRetrySeconds: moods.length > 0 ? 3 : 60,
      ...change,
    })
  }

  /** One pod of the run. @returns its last words. */
  async #attempt(proxy: FaultProxy, blow?: Scenario['blow']): Promise<MoverMessage | undefined> {
    const { shape, clockAheadMs, moods } = this.#scenario
    const marks = await this.#newMarks()
    const gate = blow?.moment.at === 'gate' ? blow.moment.gate : undefined
    for (const each of shape.gates ?? []) if (each !== gate) await openGate(marks, each)
    const pod = Promise.withResolvers<Pod>()
    // Whoever is struck, or does not end, may keep its output open.
    const stallTimeoutSeconds = shape.never === 'it does not end' ? 1 : this.#scenario.blow ? 5 : 60
    let ended = false
    const strikeNow = async () => {
      if (blow?.what === 'the mover sleeps past its expiry') await this.#sleepPastExpiry(await pod.promise)
      else if (blow) strike(await pod.promise, blow.what)
    }
    const struck = blow
      ? this.#await(blow.moment, { proxy, pod: pod.promise, marks, isOver: () => ended }, strikeNow)
      : undefined
    this.#movers++
    const started = await startPod({
      task: this.#task(proxy.endpoint, moods, { stallTimeoutSeconds }),
      secret,
      command: commandOf(shape, this.#pieces, marks),
      run: mainRun,
      clockAheadMs,
    })
    pod.resolve(started)
    const message = await this.#endOf(started)
    ended = true
    await struck
    return message
  }

  async #endOf(pod: Pod): Promise<MoverMessage | undefined> {
    const tooLong = AbortSignal.timeout(longestPodMs)
    const stuck = () => {
      this.#wrong(
        `a pod did not end in ${longestPodMs / 1000} s: ${JSON.stringify(pod.message())}\n${pod.source?.output()}`,
      )
      killAll(pod)
    }
    tooLong.addEventListener('abort', stuck, { once: true })
    try {
      await Promise.all([pod.mover.ended, pod.source?.ended])
      return pod.message()
    } finally {
      tooLong.removeEventListener('abort', stuck)
      await pod.remove()
    }
  }

  /** Lets the blow fall at its moment, if that comes before the pod's end. */
  async #await(
    moment: Moment,
    on: {
      readonly proxy: FaultProxy
      readonly pod: Promise<Pod>
      readonly marks: string
      readonly isOver: () => boolean
    },
    act: () => Promise<void>,
  ): Promise<void> {
    switch (moment.at) {
      case 'write':
        on.proxy.interrupt(moment.nth, moment.around, act)
        return
      case 'request':
        return until(() => on.proxy.requests.length >= moment.nth, on.isOver, act)
      case 'gate':
        await until(() => existsSync(join(on.marks, `at-${moment.gate}`)), on.isOver, act)
        if (!this.#endsAtGate) await openGate(on.marks, moment.gate)
        return
      case 'phase': {
        const pod = await on.pod
        const reached = () => phases.indexOf(pod.message()?.phase ?? 'starting') >= phases.indexOf(moment.phase)
        return until(reached, on.isOver, act)
      }
    }
  }

  get #endsAtGate(): boolean {
    const { shape, blow } = this.#scenario
    return shape.heedsTerm === true && blow?.what.endsWith('told to stop') === true
  }

  /** While the machine of the mover sleeps, its Job ends, the next day comes, and a run of that day removes what is left. */
  async #sleepPastExpiry(pod: Pod): Promise<void> {
    pod.mover.process.kill('SIGSTOP')
    try {
      await this.#otherRun(sleeperSlot, [])
    } finally {
      pod.mover.process.kill('SIGCONT')
    }
  }

  /** A run of another target after everything has expired: its sweep is what it is for. */
  async #otherRun(slot: number, moods: readonly Mood[]): Promise<MoverMessage> {
    const target = `other-${slot}`
    const proxy = await this.#proxy(moods)
    const endpoint = moods.length > 0 ? proxy.endpoint : this.#server.endpoint
    const run = jobOf(slot)
    this.#right.set(run, Buffer.from(`of slot ${slot}\n`))
    this.#movers++
    try {
      const pod = {
        task: this.#task(endpoint, moods, { target }),
        secret,
        command: ['echo', `of slot ${slot}`],
        run,
        // Each of these runs is of a day of its own, after all that the clocks of the others may have said.
        laterMs: slot * dayMs,
      }
      const { message } = await runPod(pod, AbortSignal.timeout(longestPodMs))
      if (message.reason === 'Terminated') this.#wrong(`a run of slot ${slot} did not end in ${longestPodMs / 1000} s`)
      return message
    } finally {
      await proxy.settled()
      await proxy.stop()
    }
  }

  async #proxy(moods: readonly Mood[]): Promise<FaultProxy> {
    const proxy = await startFaultProxy(this.#server.endpoint)
    for (const { verb, fault, times } of moods) proxy.fail(verb, fault, { times })
    return proxy
  }

  async #probe(): Promise<void> {
    const { version, owner, backend, secretName } = this.#task(this.#server.endpoint, [], {})
    const task = { version, kind: 'probe', owner, backend, secretName } as const
    const { message } = await runPod({ task, secret, run: 'probe' }, AbortSignal.timeout(longestPodMs))
    if (message.phase !== 'done') this.#wrong(`a probe, with which nothing is wrong, says ${JSON.stringify(message)}`)
  }

  // ── afterwards

  /** @returns the runs that are backups, whole and right. */
  async #examine(when: string): Promise<readonly string[]> {
    const { backups } = await this.#reader.look(layout.root)
    const good: string[] = []
    for (const found of backups) {
      const problem = this.#judge(found)
      if (problem === undefined) good.push(found.run)
      else if (!this.#lost.has(found.run)) this.#wrong(`${when} ${problem}`)
    }
    return good
  }

  /** What is wrong with a backup that the bucket has. */
  #judge({ run, bytes, problem }: Found): string | undefined {
    const right = this.#right.get(run)
    if (!right) return `there is a backup ${run} of ${bytes?.length} bytes, but ${this.#whyNever()}`
    if (!bytes) return `the backup ${run} cannot be read: ${problem}`
    if (bytes.equals(right)) return undefined
    return `the backup ${run} has ${bytes.length} bytes, but the command alone writes ${right.length}; they differ from byte ${firstDifference(bytes, right)} on`
  }

  #whyNever(): string {
    return this.#scenario.shape.never ?? 'the command fails'
  }

  async #examineAgain(when: string, before: readonly string[]): Promise<void> {
    const good = await this.#examine(when)
    for (const run of before)
      if (!good.includes(run)) this.#wrong(`${when} the backup ${run}, which was whole, is not there`)
  }

  async #lookForLeftovers(): Promise<void> {
    // What a refused deletion left of it the daily probe removes, and no run: a probe may be going on.
    if ((await this.#reader.look(layout.root)).keys.includes(layout.probe)) await this.#probe()
    const { backups, keys, uploads } = await this.#reader.look(layout.root)
    const known = new Set([layout.owner, ...backups.flatMap(backup => backup.keys)])
    const left = [...keys.filter(key => !known.has(key)), ...uploads.map(key => `an upload of ${key}`)]
    if (left.length > 0) this.#wrong(`after the sweep there is still ${left.join(', ')}`)
  }
}

/** Acts once when the condition holds, unless everything is over before. */
async function until(condition: () => boolean, isOver: () => boolean, act: () => Promise<void>): Promise<void> {
  while (!condition()) {
    if (isOver()) return
    await delay(5)
  }
  await act()
}

function firstDifference(a: Buffer, b: Buffer): number {
  const index = a.findIndex((byte, at) => byte !== b[at])
  return index < 0 ? a.length : index
}
