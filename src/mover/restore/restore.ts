/** One attempt of one restore: from the manifest to the command's status 0, or into nothing, with a proof. */
import { hash } from 'node:crypto'
import { isPermanent } from '../../api/mover/reasons.ts'
import type { RestoreTask } from '../../api/mover/task.ts'
import { parseBackupRecord, type BackupRecord } from '../../api/record.ts'
import { readManifest } from '../../storage/bucket/catalog.ts'
import { layoutOf, manifestKey, type Layout } from '../../storage/bucket/layout.ts'
import { removePin } from '../../storage/bucket/pins.ts'
import { writeProof } from '../../storage/bucket/proofs.ts'
import { isStoreError } from '../../storage/store-error.ts'
import { failureOf, MoverFailure } from '../failure.ts'
import type { ControlChannel } from '../protocol/control.ts'
import type { Lifeline } from '../protocol/fifo.ts'
import type { Report } from '../protocol/report.ts'
import { openStores, type Stores } from '../stores.ts'
import { readArtifact } from './artifact.ts'
import { openContents, type Content, type Contents } from './contents.ts'
import type { PartsOptions } from './parts.ts'
import { Progress } from './progress.ts'
import { runSession, type Wanted } from './session.ts'
import { resultOf, shortResult } from './told.ts'

export interface RestoreContext {
  /** Undefined where the pod has no restore command: then all that can be done is to verify. */
  readonly container: { readonly control: ControlChannel; readonly lifeline: Lifeline } | undefined
  readonly shared: string
  readonly report: Report
  /** ms since the epoch. */
  readonly now: () => number
  readonly signal: AbortSignal
}

interface Restore extends RestoreContext {
  readonly task: RestoreTask
  readonly stores: Stores
  readonly layout: Layout
  readonly record: BackupRecord
  /** Of the manifest's text. */
  readonly manifestSha256: string
  readonly contents: Contents
  readonly progress: Progress
  /** Those of which every byte was read. */
  readonly verified: Set<Content>
}

const progressMs = 10_000
/** What remains of the grace period (30 s) for cleaning up. */
const cleanupMs = 20_000

/** @throws whatever ended the attempt; the caller makes the failure of it. */
export async function runRestore(task: RestoreTask, context: RestoreContext): Promise<void> {
  const { report, container } = context
  if (!container && !task.verify)
    throw new MoverFailure('Internal', `${context.shared} was not prepared by the init container`)
  const stores = await openStores(task, report.log)
  const layout = layoutOf({ prefix: task.backend.prefix, namespace: task.owner.namespace, policy: task.owner.policy })
  const unpin = () => release(stores, layout, task, report)
  try {
    await restore(task, context, stores, layout)
  } catch (error) {
    // A retry of the Job needs it.
    if (isPermanent(failureOf(error).reason)) await unpin()
    throw error
  }
  await unpin()
  report.update({ phase: 'done', finishedAt: context.now() })
}

async function restore(task: RestoreTask, context: RestoreContext, stores: Stores, layout: Layout): Promise<void> {
  const { report, container, now } = context
  const startedAt = now()
  const begun = performance.now()
  const read = await readRecord(task, context, stores, layout)
  const { record } = read
  const contents = await openContents(record, task.identitiesDirectory, partsOptions(stores, layout, context.signal))
  const progress = new Progress(report, record, contents)
  const run: Restore = { ...context, ...read, task, stores, layout, contents, progress, verified: new Set() }
  progress.begin()
  const telling = setInterval(() => tellProgress(report), progressMs)
  try {
    if (container) await command(run, container)
    if (task.verify) await readTheRest(run)
  } finally {
    clearInterval(telling)
  }
  report.update({ artifacts: run.verified.size })
  if (task.verify) await prove(run, startedAt, (performance.now() - begun) / 1000)
}

async function readRecord(task: RestoreTask, context: RestoreContext, { quick }: Stores, layout: Layout) {
  const { report, signal } = context
  const key = manifestKey(layout, task.target, new Date(task.slot), task.run)
  report.update({ phase: 'probing', slot: task.slot, manifest: key })
  const text = await readManifest(quick, key, signal)
  if (text === undefined)
    throw new MoverFailure('BackupNotFound', `there is no manifest ${key}: the backup was deleted, or never made`)
  let record: BackupRecord
  try {
    record = parseBackupRecord(text.toString())
  } catch (cause) {
    throw new MoverFailure('FormatUnsupported', `${key}: ${(cause as Error).message}`, { cause })
  }
  if (record.run !== task.run || record.target !== task.target)
    throw new MoverFailure(
      'DataTampered',
      `${key} is of run ${record.run} and target ${record.target}, which its key contradicts`,
    )
  return { record, manifestSha256: hash('sha256', text) }
}

async function command(run: Restore, container: NonNullable<RestoreContext['container']>): Promise<void> {
  const { task, report, progress, shared, signal } = run
  await runSession({
    ...container,
    shared,
    startTimeoutSeconds: task.startTimeoutSeconds,
    stallTimeoutSeconds: task.stallTimeoutSeconds,
    wanted: name => wanted(run, name),
    onStart: () => report.update({ phase: 'restoring' }),
    onBytes: bytes => progress.add(bytes),
    onResult: told => noteResult(report, told),
    signal,
  })
}

/** What a name stands for. Those that begin with a dot tell of the backup. */
function wanted(run: Restore, name: string): Wanted {
  const { artifacts, engine } = run.contents
  const find = (wantedName: string) => {
    const found = artifacts.find(artifact => artifact.name === wantedName)
    if (!found) throw new MoverFailure('NotInBackup', `the backup ${run.record.run} has no artifact ${wantedName}`)
    return found
  }
  if (name === '.artifacts') return text(artifacts.map(artifact => `${artifact.name ?? ''}\n`).join(''))
  if (name === '.engine') return text(`${JSON.stringify(engine ?? {})}\n`)
  if (name.startsWith('.facts/')) return text(`${JSON.stringify(find(name.slice('.facts/'.length)).facts ?? {})}\n`)
  if (name.startsWith('.')) throw new MoverFailure('Protocol', `a restore script asked for ${name}, which nobody knows`)
  const content = name === '-' ? onlyOf(run.contents) : find(name)
  run.progress.reach(content)
  return {
    chunks: signal => chunksOf(run, content, signal),
    onVerified: () => run.verified.add(content),
    isArtifact: true,
  }
}

function onlyOf({ artifacts, isEncrypted }: Contents): Content {
  const [only, ...others] = artifacts
  if (only && others.length === 0) return only
  const names = isEncrypted ? 'its names are secret' : artifacts.map(({ name }) => name).join(', ')
  throw new MoverFailure('NotInBackup', `the backup has several artifacts, and the command takes one: ${names}`)
}

function text(content: string): Wanted {
  async function* chunks() {
    yield Buffer.from(content)
  }
  return { chunks, isArtifact: false }
}

function chunksOf(
  { stores, layout }: Restore,
  { artifact, opened }: Content,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  return readArtifact(artifact, partsOptions(stores, layout, signal), opened)
}

function partsOptions(stores: Stores, layout: Layout, signal: AbortSignal): PartsOptions {
  return { store: stores.bare, again: stores.again, root: layout.root, signal }
}

/** What no command has read. */
async function readTheRest(run: Restore): Promise<void> {
  const { report, contents, progress, verified } = run
  report.update({ phase: 'restoring' })
  for (const content of contents.artifacts) {
    if (verified.has(content)) continue
    progress.reach(content)
    for await (const chunk of chunksOf(run, content, run.signal)) progress.add(chunk.length)
    verified.add(content)
  }
}

function noteResult(report: Report, told: string) {
  const result = resultOf(told)
  if (result) {
    report.log.info({ result }, 'result')
    report.update({ result: shortResult(result) })
  } else report.log.warn({ told: told.slice(0, 1000) }, 'the result of the restore script is not an object of JSON')
}

function tellProgress(report: Report) {
  report.update({})
  const { phase, restore: reached } = report.message
  report.log.info({ phase, ...reached, rssMiB: Math.round(process.memoryUsage.rss() / (1 << 20)) }, 'progress')
}

/** What was read is right, whoever may write that down. */
async function prove(run: Restore, startedAt: number, seconds: number): Promise<void> {
  const { task, stores, layout, record, manifestSha256, report, signal } = run
  const artifacts = record.artifacts.map(({ name, bytes, sha256, storedBytes }) => ({
    storedBytes,
    name,
    bytes,
    sha256,
  }))
  const at = new Date(startedAt).toISOString()
  const by = task.restore.uid
  const proof = { run: record.run, manifestSha256, mode: 'verify', at, seconds, by, artifacts } as const
  try {
    await writeProof(stores.quick, layout, proof, signal)
  } catch (error) {
    if (!isStoreError(error)) throw error
    report.warn('ProofNotWritten', error.message)
  }
}

/** Nobody needs the backup any more for this Restore. What is left of it expires. */
async function release({ quick }: Stores, layout: Layout, task: RestoreTask, report: Report): Promise<void> {
  try {
    await removePin(quick, layout, task.restore.uid, AbortSignal.timeout(cleanupMs))
  } catch (err) {
    report.log.warn({ err }, 'cannot remove the pin of this restore, which expires')
  }
}
