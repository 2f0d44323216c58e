// What runs beside the mover of a restore: a command of the user, the script of a preset, or nothing.
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { Restore, RestoreInto, RestoreStatus } from '../../api/kinds/restore.ts'
import type { Reason } from '../../api/conditions.ts'
import type { EnvVar } from '../../api/kubernetes.ts'
import { feedCommand, presetCommand, restoreEnvironment } from '../../api/mover/pod.ts'
import { restoreId, slotText } from '../../api/names.ts'
import type { RestoreContainer } from '../../resources/restore-jobs.ts'
import { timeOf } from '../../schedule/times.ts'

/** The backup that was chosen, as the status tells of it. */
export type ChosenBackup = NonNullable<RestoreStatus['backup']>

export type RestoreRefusal = { readonly reason: Reason; readonly message: string }

/** Where the database is, and how to get in: what a preset needs besides its script. */
export type PresetConnection = Pick<RestoreContainer, 'env' | 'envFrom' | 'volumes' | 'mounts'> & {
  /** Of the target; undefined: that of the policy. */
  readonly image?: string
}

/** Says how the database of a preset is reached, or why that is not known. */
export type Connect = (
  policy: BackupPolicy | undefined,
  into: RestoreInto,
  preset: string,
) => PresetConnection | RestoreRefusal

/** @returns undefined where the mover is alone: it reads and checks */
export function restoreContainer(
  policy: BackupPolicy | undefined,
  restore: Restore,
  backup: ChosenBackup,
  connect: Connect = notConnected,
): RestoreContainer | RestoreRefusal | undefined {
  const { into } = restore.spec
  if (!into) return undefined
  const line = [...(into.command ?? []), ...(into.args ?? [])]
  if (line.length > 0) return inImage(policy, into, undefined, explicitCommand(restore, into, backup, line))
  if (backup.preset === undefined)
    return {
      reason: 'RestoreCommandMissing',
      message:
        'the backup was made by a command of its own, or is encrypted and does not say by what; create a Restore whose into.command or into.args names the program that restores it, for example args: [pg_restore, --exit-on-error, -d, shop]',
    }
  const connection = connect(policy, into, backup.preset)
  if ('reason' in connection) return connection
  return inImage(policy, into, connection.image, presetRestore(restore, into, backup, backup.preset, connection))
}

export function isRefusal(made: RestoreContainer | RestoreRefusal | undefined): made is RestoreRefusal {
  return made !== undefined && 'reason' in made
}

/** A command that this program does not know how to reach a database for. */
const notConnected: Connect = (_policy, _into, preset) => ({
  reason: 'RestoreCommandMissing',
  message: `nothing says how a backup of preset ${preset} is restored; create a Restore whose into.command or into.args names the program that does it`,
})

type Line = Pick<RestoreContainer, 'args' | 'env' | 'envFrom' | 'volumes' | 'mounts'>

function explicitCommand(restore: Restore, into: RestoreInto, backup: ChosenBackup, line: readonly string[]): Line {
  const env = [...askedFor(restore, into, backup), ...(into.env ?? [])]
  // Of several none is the input: the command asks for each by its name.
  const args = backup.artifacts === 1 ? [...feedCommand(), ...line] : line
  return { args, env, envFrom: into.envFrom, volumes: [], mounts: [] }
}

/** The script of the preset, which calls `feed` itself, and finds in its environment what is asked for. */
function presetRestore(
  restore: Restore,
  into: RestoreInto,
  backup: ChosenBackup,
  preset: string,
  { env, envFrom, volumes, mounts }: PresetConnection,
): Line {
  // Last, so that nothing which a connection brings can say otherwise.
  return {
    args: presetCommand(`preset-${preset}.sh`, 'restore'),
    env: [...env, ...askedFor(restore, into, backup)],
    envFrom,
    volumes,
    mounts,
  }
}

/** Never one that the bucket names: whoever writes there would run what he likes here. */
function inImage(
  policy: BackupPolicy | undefined,
  into: RestoreInto,
  ofTarget: string | undefined,
  line: Line,
): RestoreContainer | RestoreRefusal {
  const job = policy?.spec.strategy.job
  const image = into.image ?? ofTarget ?? job?.image
  if (image === undefined)
    return {
      reason: 'RestoreCommandMissing',
      message: 'nothing says which image has the program that restores; create a Restore with into.image',
    }
  const ofPolicy = into.image === undefined ? job : undefined
  return {
    ...line,
    image,
    imagePullPolicy: into.imagePullPolicy ?? ofPolicy?.imagePullPolicy,
    imagePullSecrets: into.imagePullSecrets ?? ofPolicy?.imagePullSecrets,
    resources: into.resources ?? job?.resources,
    runAsUser: into.runAsUser ?? ofPolicy?.runAsUser,
    runAsGroup: into.runAsGroup ?? ofPolicy?.runAsGroup,
  }
}

/** What the Restore asks for, as variables; what it leaves open has none. */
function askedFor({ metadata: { uid = '' } }: Restore, into: RestoreInto, backup: ChosenBackup): readonly EnvVar[] {
  const slot = timeOf(backup.slot)
  const values: Readonly<Record<keyof typeof restoreEnvironment, string | undefined>> = {
    id: restoreId(uid),
    uid,
    slot: slot && slotText(slot),
    database: into.only?.database,
    into: into.database,
    overwrite: String(into.overwrite),
    previous: into.previous,
    table: into.only?.table,
    globals: String(into.only === undefined),
    users: String(into.only === undefined),
  }
  return Object.entries(restoreEnvironment).flatMap(([key, name]) => {
    const value = values[key as keyof typeof values]
    return value === undefined ? [] : [{ name, value: literally(value) }]
  })
}

/** Kubernetes turns `$$` into `$`, and expands `$(NAME)`. */
function literally(value: string): string {
  return value.replaceAll('$', '$$$$')
}
