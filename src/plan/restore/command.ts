// What runs beside the mover of a restore: a command of the user, the script of a preset, or nothing.
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { PresetName } from '../../api/kinds/backup-policy-job.ts'
import type { Restore, RestoreInto, RestoreStatus } from '../../api/kinds/restore.ts'
import type { Reason } from '../../api/conditions.ts'
import type { EnvVar } from '../../api/kubernetes.ts'
import { feedCommand, presetCommand, restoreEnvironment } from '../../api/mover/pod.ts'
import { restoreId, slotText } from '../../api/names.ts'
import { environmentOf, volumesOf } from '../../presets/dump-environment.ts'
import type { Connection, Preset, ResolvedTarget } from '../../presets/preset.ts'
import { presets } from '../../presets/presets.ts'
import type { RestoreContainer } from '../../resources/restore-jobs.ts'
import { timeOf } from '../../schedule/times.ts'
import { presetOf } from '../view/preset.ts'
import type { FoundWorkloads } from '../view/world.ts'
import { connectionOf, restoreTarget, statedConnection } from './connection.ts'

/** The backup that was chosen, as the status tells of it. */
export type ChosenBackup = NonNullable<RestoreStatus['backup']>

/** `awaited`: it may pass by itself. `isBounded`: and is refused where it does not for long. */
export type RestoreRefusal = { readonly reason: Reason; readonly message: string } & (
  | { readonly is: 'refused' }
  | { readonly is: 'awaited'; readonly isBounded?: true }
)

/** What of the world decides, besides the Restore. */
export type RestoreBasis = {
  readonly policy: BackupPolicy | undefined
  /** What the preset of the policy finds; undefined: nobody can say, or the policy has none. */
  readonly workloads: FoundWorkloads | undefined
}

/** @returns undefined where the mover is alone: it reads and checks */
export function restoreContainer(
  basis: RestoreBasis,
  restore: Restore,
  backup: ChosenBackup,
): RestoreContainer | RestoreRefusal | undefined {
  const { verify, into } = restore.spec
  const preset = presetOfBackup(basis.policy, into, backup)
  if (verify) return preset && presetVerify(basis, restore, backup, preset)
  if (!into) return undefined
  const { job } = basis.policy?.spec.strategy ?? {}
  const line = lineOf(into)
  if (line.length > 0) {
    const env = [...askedFor(restore, into, backup), ...(into.env ?? [])]
    return inImage(basis, into, undefined, {
      args: fed(line, backup),
      env,
      envFrom: into.envFrom,
      volumes: [],
      mounts: [],
    })
  }
  if (preset) return presetRestore(basis, restore, into, backup, preset)
  if (job?.restore) {
    const env = [...askedFor(restore, into, backup), ...(job.env ?? [])]
    const args = fed(lineOf(job.restore), backup)
    return inImage(basis, into, undefined, { args, env, envFrom: job.envFrom, ...volumesOf(job.volumes ?? []) })
  }
  return refused(
    'RestoreCommandMissing',
    'the backup was made by a command of its own, or is encrypted and does not say by what; create a Restore whose into.command or into.args names the program that restores it, for example args: [pg_restore, --exit-on-error, -d, shop], or whose into.preset names the preset that made it',
  )
}

export function isRefusal(made: RestoreContainer | RestoreRefusal | undefined): made is RestoreRefusal {
  return made !== undefined && 'reason' in made
}

function refused(reason: Reason, message: string): RestoreRefusal {
  return { is: 'refused', reason, message }
}

function lineOf({ command = [], args = [] }: Pick<RestoreInto, 'command' | 'args'>): readonly string[] {
  return [...command, ...args]
}

/** Of several artifacts a command asks for each by its name. */
function fed(line: readonly string[], { artifacts }: ChosenBackup): readonly string[] {
  return artifacts === 1 ? [...feedCommand(), ...line] : line
}

/** An encrypted backup does not tell by what it was made. */
function presetOfBackup(
  policy: BackupPolicy | undefined,
  into: RestoreInto | undefined,
  { preset, encrypted }: ChosenBackup,
): Preset | undefined {
  const told = Object.hasOwn(presets, preset ?? '') ? (preset as PresetName) : undefined
  const name = into?.preset ?? told ?? (encrypted && policy ? presetOf(policy) : undefined)
  return name && presets[name]
}

type Line = Pick<RestoreContainer, 'args' | 'env' | 'envFrom' | 'volumes' | 'mounts'>

/** The script of the preset, which calls `feed` itself, and finds in its environment what is asked for. */
function presetRestore(
  basis: RestoreBasis,
  restore: Restore,
  into: RestoreInto,
  backup: ChosenBackup,
  preset: Preset,
): RestoreContainer | RestoreRefusal {
  if (into.only?.table !== undefined && !preset.restoresTables)
    return refused(
      'TableUnsupported',
      `the preset ${preset.name} does not restore one table alone; create a Restore with only.database, which is restored beside the old one, and copy the table`,
    )
  const stated = statedConnection(preset, into)
  if (stated) return withConnection(undefined, stated)
  const found = restoreTarget(basis.policy, into.target ?? backup.target, basis.workloads)
  if (found.is !== 'resolved') return found
  const connection = connectionOf(found.target, into)
  return 'reason' in connection ? connection : withConnection(found.target, connection)

  function withConnection(target: ResolvedTarget | undefined, connection: Connection) {
    const { env, volumes, mounts } = environmentOf(preset, connection, {})
    // Last, so that nothing which a connection brings can say otherwise.
    const line = { env: [...env, ...askedFor(restore, into, backup)], volumes, mounts }
    return inImage(basis, into, target, { args: presetCommand(preset.script, 'restore'), ...line })
  }
}

/** Without a connection. Where nothing names an image the mover reads and checks alone. */
function presetVerify(
  basis: RestoreBasis,
  restore: Restore,
  backup: ChosenBackup,
  preset: Preset,
): RestoreContainer | RestoreRefusal | undefined {
  const { into = verifyOnly } = restore.spec
  const found = restoreTarget(basis.policy, backup.target, basis.workloads)
  const target = found.is === 'resolved' ? found.target : undefined
  if ((into.image ?? target?.image ?? basis.policy?.spec.strategy.job?.image) === undefined)
    return found.is === 'awaited' && !found.isBounded ? found : undefined
  const line = { env: askedFor(restore, into, backup), volumes: [], mounts: [] }
  return inImage(basis, into, target, { args: presetCommand(preset.script, 'verify'), ...line })
}

const verifyOnly: RestoreInto = { overwrite: false, previous: 'Keep' }

/** Never one that the bucket names: whoever writes there would run what he likes here. */
function inImage(
  { policy }: RestoreBasis,
  into: RestoreInto,
  target: ResolvedTarget | undefined,
  line: Line,
): RestoreContainer | RestoreRefusal {
  const job = policy?.spec.strategy.job
  const image = into.image ?? target?.image ?? job?.image
  if (image === undefined)
    return refused(
      'RestoreCommandMissing',
      'nothing says which image has the program that restores; create a Restore with into.image',
    )
  const ofPolicy = into.image === undefined ? job : undefined
  const ofTarget = image === target?.image ? target.imagePullSecrets.map(name => ({ name })) : undefined
  return {
    ...line,
    image,
    imagePullPolicy: into.imagePullPolicy ?? ofPolicy?.imagePullPolicy,
    imagePullSecrets: into.imagePullSecrets ?? ofPolicy?.imagePullSecrets ?? ofTarget,
    resources: into.resources ?? job?.resources,
    runAsUser: into.runAsUser ?? ofPolicy?.runAsUser,
    runAsGroup: into.runAsGroup ?? ofPolicy?.runAsGroup,
  }
}

/** What the Restore asks for, as variables; what it leaves open has none. */
function askedFor({ metadata: { uid = '' } }: Restore, into: RestoreInto, backup: ChosenBackup): readonly EnvVar[] {
  const slot = timeOf(backup.slot)
  const globals = String(into.globals ?? into.only === undefined)
  const values: Readonly<Record<keyof typeof restoreEnvironment, string | undefined>> = {
    id: restoreId(uid),
    uid,
    slot: slot && slotText(slot),
    database: into.only?.database,
    into: into.database ?? (slot && besideName(into, slot)),
    overwrite: String(into.overwrite),
    previous: into.previous,
    table: into.only?.table,
    globals,
    users: globals,
  }
  return Object.entries(restoreEnvironment).flatMap(([key, name]) => {
    const value = values[key as keyof typeof values]
    return value === undefined ? [] : [{ name, value: literally(value) }]
  })
}

const utf8 = new TextEncoder()
/** PostgreSQL cuts names at 63 bytes, and two that are cut would be one. */
const longestNameBytes = 63

/** Of one database that replaces nothing: it says from when it is. */
function besideName({ only, overwrite }: RestoreInto, slot: Date): string | undefined {
  if (only?.database === undefined || only.table !== undefined || overwrite) return undefined
  const ending = `_${slotText(slot).slice(0, 13).toLowerCase()}`
  let name = ''
  for (const character of only.database) {
    if (utf8.encode(name + character).length > longestNameBytes - ending.length) break
    name += character
  }
  return name + ending
}

/** Kubernetes turns `$$` into `$`, and expands `$(NAME)`. */
function literally(value: string): string {
  return value.replaceAll('$', '$$$$')
}
