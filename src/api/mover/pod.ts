/** How a mover pod is told what to do, and how the two containers of a backup pod are started. */
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
  /** The `emptyDir` that the containers of a backup pod share. Not sticky (mode 0777), at least 16 MiB. */
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
  return [
    `${shared}/busybox`,
    'sh',
    `${shared}/init.sh`,
    String(task.startTimeoutSeconds),
    `${shared}/artifact`,
    task.artifact,
  ]
}

/** The same in a dry start: the container only looks whether the program is there, and ends with 0, 126 or 127 as a shell would. */
export function lookCommand(shared: string = moverPaths.shared): readonly string[] {
  return [`${shared}/busybox`, 'sh', `${shared}/init.sh`, 'look']
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
