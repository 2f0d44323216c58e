/** How a mover pod is told what to do, and how the two containers of a backup or restore pod are started. */
import type { BackupTask, MoverTaskInput } from './task.ts'

/** Environment variables of the mover container. All but the task are filled by the downward API. */
export const moverEnvironment = {
  /** `encodeMoverTask(task)`. */
  task: 'BACKUP_TASK',
  /** The run: `metadata.labels['batch.kubernetes.io/job-name']`. A CronJob cannot name its Jobs in their own template. */
  run: 'BACKUP_RUN',
  /** The Job's UID: `metadata.labels['batch.kubernetes.io/controller-uid']`. */
  jobUid: 'BACKUP_JOB_UID',
  /** The attempt: `metadata.uid` of the pod. */
  attempt: 'BACKUP_ATTEMPT',
} as const

/**
 * Environment of the mover container that glibc reads: one heap instead of one a thread, and buffers of half a MiB or more given back to the
 * kernel at once. Without it up to 20 MiB lie about (docs/decisions/0018-frames.md).
 */
export const moverAllocator = { MALLOC_ARENA_MAX: '1', MALLOC_MMAP_THRESHOLD_: '524288' } as const

/** Where things are mounted. The credentials and the CA travel in the task; these two are fixed. */
export const moverPaths = {
  /** The `emptyDir` that the containers of a backup or restore pod share. Not sticky (mode 0777), at least 16 MiB. */
  shared: '/.backup',
  /** Kubernetes' default `terminationMessagePath`. */
  terminationLog: '/dev/termination-log',
} as const

/**
 * The command of the user's container; its `args` are the user's command line, one word each, untouched (Kubernetes itself
 * turns `$$` into `$` and expands `$(NAME)` there, as in any pod).
 */
export function sourceCommand(
  task: Pick<BackupTask, 'artifact' | 'startTimeoutSeconds'>,
  shared: string = moverPaths.shared,
): readonly string[] {
  return [...announcingCommand(task, shared), `${shared}/artifact`, task.artifact]
}

/** The same for a command line that announces its artifacts itself, as the scripts of presets do. */
export function announcingCommand(
  { startTimeoutSeconds }: Pick<BackupTask, 'startTimeoutSeconds'>,
  shared: string = moverPaths.shared,
): readonly string[] {
  return [`${shared}/busybox`, 'sh', `${shared}/init.sh`, String(startTimeoutSeconds)]
}

/** The same in a dry start: the container only looks whether the program is there, and ends with 0, 126 or 127 as a shell would. */
export function lookCommand(shared: string = moverPaths.shared): readonly string[] {
  return [`${shared}/busybox`, 'sh', `${shared}/init.sh`, 'look']
}

/** The same of several programs, of which one must be there; its `args` are their names. */
export function lookForOneCommand(shared: string = moverPaths.shared): readonly string[] {
  return [
    `${shared}/busybox`,
    'sh',
    '-c',
    'for name; do command -v "$name" >/dev/null && exit 0; done; exit 127',
    'look',
  ]
}

/**
 * The command of a restore's container; its `args` are a command line that calls `feed` for each artifact that it wants, or
 * {@link feedCommand} and the user's, which reads the one that there is.
 */
export function restoreCommand(startTimeoutSeconds: number, shared: string = moverPaths.shared): readonly string[] {
  return [`${shared}/busybox`, 'sh', `${shared}/restore-init.sh`, String(startTimeoutSeconds)]
}

/** Stands before a command line that reads the one artifact of a backup from its standard input, whatever its name is. */
export function feedCommand(shared: string = moverPaths.shared): readonly string[] {
  return [`${shared}/feed`, '-']
}

/**
 * The command of the init container, of our own image: it puts busybox, the helpers and the control FIFOs into the shared
 * directory. `helpers` is the image's `src/mover/shell`, `busybox` its static busybox.
 */
export function prepareCommand(
  helpers: string,
  busybox = '/bin/busybox',
  shared: string = moverPaths.shared,
): readonly string[] {
  return [busybox, 'sh', `${helpers}/prepare.sh`, shared]
}

/**
 * The value of `BACKUP_TASK`. `$` is written as a JSON escape, because Kubernetes expands `$(NAME)` in values. What is out of bounds is
 * refused by the mover that reads it: a plan must not throw because of one run.
 */
export function encodeMoverTask(task: MoverTaskInput): string {
  return JSON.stringify(task).replaceAll('$', '\\u0024')
}

/** What runs the script of a preset, which does the rest itself. @param script its file name in the shared directory */
export function presetCommand(
  script: string,
  verb: 'dump' | 'restore' | 'verify',
  shared: string = moverPaths.shared,
): readonly string[] {
  return [`${shared}/busybox`, 'sh', `${shared}/${script}`, verb]
}

/** Variables of a restore's container: what the Restore asks for. A script finds no other word of it. */
export const restoreEnvironment = {
  /** See `restoreId` in names.ts. */
  id: 'BACKUP_RESTORE_ID',
  uid: 'BACKUP_RESTORE_UID',
  /** The slot of the backup, as `slotText` writes it: names of new databases say from when they are. */
  slot: 'BACKUP_SLOT',
  /** The one database of the backup that is wanted. Absent: all of it. */
  database: 'BACKUP_DATABASE',
  /** What it becomes. Absent: a new one. */
  into: 'BACKUP_INTO',
  /** `true` or `false`. */
  overwrite: 'BACKUP_OVERWRITE',
  /** `Keep` or `Delete`. */
  previous: 'BACKUP_PREVIOUS',
  table: 'BACKUP_TABLE',
  /** Whether roles and the like, which belong to no database, are wanted: `true` or `false`. */
  globals: 'BACKUP_GLOBALS',
  /** The same, of MariaDB and MySQL. */
  users: 'BACKUP_USERS',
} as const
