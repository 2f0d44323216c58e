/**
 * What the operator asks of a mover pod (`pod.ts` tells how it gets there). It contains no secret: the credentials are files of a mounted
 * Secret, whose place it names. What the mover answers is in `message.ts`. The operator loads nothing of this file, only its types:
 * the library that checks a task takes 5 MiB.
 */
import { z } from 'zod'

const name = (maximum: number) => z.string().min(1).max(maximum)
const seconds = z.int().positive()

/** Who owns a prefix of the bucket (R11). The UID is recorded, never compared: a policy that is applied again continues. */
const ownerSchema = z.strictObject({
  /** The UID of the namespace kube-system, or the chart's `clusterId`. */
  clusterId: name(253),
  namespace: name(63),
  policy: name(253),
  policyUid: name(64).optional(),
})
export type PrefixOwner = Readonly<z.infer<typeof ownerSchema>>

const backendSchema = z.strictObject({
  bucket: name(255),
  /** URL with scheme. Absent: AWS. */
  endpoint: z.string().max(1024).optional(),
  /** Default `us-east-1`. */
  region: z.string().max(64).optional(),
  /** Path in the bucket, above `<namespace>/<policy>`. Default: none. */
  prefix: z.string().max(512).optional(),
  /** Default: true with an endpoint, false without. */
  forcePathStyle: z.boolean().optional(),
})
export type BackendTask = Readonly<z.infer<typeof backendSchema>>

const common = {
  version: z.literal(1),
  owner: ownerSchema,
  backend: backendSchema,
  /** Id of a lost cluster whose folder of this policy is taken over. */
  adopt: name(253).optional(),
  /** Name of the Secret with the credentials, for messages. */
  secretName: name(253),
  /** The Secret's volume (`optional: true`: the mover itself reports a missing Secret). One file a key. */
  credentialsDirectory: z.string().min(1).default('/var/run/backup/credentials'),
  /** A PEM file of the authorities to trust instead of the system's, where the policy names one. */
  caFile: z.string().min(1).optional(),
  /** A connection to the store on which nothing moves for so long is given up (and the request tried again). */
  storeIdleSeconds: seconds.default(60),
}

/** Whom backups are encrypted to: public keys, or a file of them, one a line. Absent: backups are not encrypted. */
const encryptionSchema = z.union([
  z.strictObject({ recipients: z.array(z.string().min(1).max(2100)).min(1).max(8) }),
  z.strictObject({ recipientsFile: z.string().min(1) }),
])
export type EncryptionTask = Readonly<z.infer<typeof encryptionSchema>>

/** A number of runs to keep that was changed: until an hour after `since` (ms since the epoch) the larger one applies. */
const changedSchema = z.strictObject({ previous: z.int().min(1), since: z.int().nonnegative() })

const backupFields = z.strictObject({
  ...common,
  kind: z.literal('backup'),
  target: name(253),
  /** Name of the artifact that the command's standard output becomes, where it does not announce artifacts itself. */
  artifact: z
    .string()
    .max(63)
    .regex(/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/)
    .default('dump'),
  /**
   * The slot that this run covers, ms since the epoch; of an on-demand run, when it was asked for. Either this or `cronJob`: the
   * template of a CronJob cannot carry the slot, and the pod does not see the annotation
   * `batch.kubernetes.io/cronjob-scheduled-timestamp` of its Job.
   */
  slot: z.int().nonnegative().optional(),
  /** A failure of the command so long after the slot is final. Absent: never. */
  startingDeadlineSeconds: z.int().nonnegative().optional(),
  /** The CronJob whose template this is: the slot follows from the Job's name, `<cronjob>-<minutes since the epoch>`. */
  cronJob: name(52).optional(),
  /** What asked for the run. Absent: scheduled with `cronJob`; otherwise its name tells. */
  trigger: z.enum(['scheduled', 'on-demand']).optional(),
  /** N of `spec.retention`. */
  retention: z.int().min(1),
  /** What `retention` was before it was changed (R29). Absent: it was not changed, or long ago. */
  retentionChanged: changedSchema.optional(),
  /** N for on-demand runs, which are counted apart (R30). Absent: as `retention`, with its change. */
  onDemandRetention: z.int().min(1).optional(),
  onDemandRetentionChanged: changedSchema.optional(),
  /**
   * Plain bytes of the last good backup in this very store, as the operator knows it, made coarse by `sizeHint`: a ruin is found also
   * where the store does not list (R24).
   */
  sizeHint: z.int().nonnegative().optional(),
  /** Likewise stored bytes, which are all that is known of what is encrypted. */
  storedSizeHint: z.int().nonnegative().optional(),
  /** Runs that retention leaves alone (R7), besides those that are held in the bucket (R28). */
  held: z.array(name(63)).max(1000).default([]),
  /** Suspect runs that a person has accepted: they count again (R14). */
  accepted: z.array(name(63)).max(1000).default([]),
  /** Most deletions in this pass; the rest waits for the next. */
  maxDeletes: z.int().min(0).max(20).default(20),
  /** `activeDeadlineSeconds` of the Job. What is older than this plus one hour belongs to nobody who lives (R12). */
  jobDeadlineSeconds: seconds,
  /** No byte from the command for so long, while the store could take more, fails the attempt. */
  stallTimeoutSeconds: seconds.default(1800),
  /** How long each of the two containers waits for the other to start. */
  startTimeoutSeconds: seconds.default(600),
  /** `auto`: what is compressed already is not compressed again. `none`: artifacts are stored as they come. */
  compression: z.enum(['auto', 'zstd', 'none']).default('auto'),
  encryption: encryptionSchema.optional(),
  /** Size of every part but the last. Stores ask for at least 5 MiB. Absent: what the memory of the pod allows. */
  partBytes: z
    .int()
    .min(5 << 20)
    .max(64 << 20)
    .optional(),
  /** A new segment object begins after so many parts. Stores stop at 10,000 (some at 1,000). */
  maxParts: z.int().min(1).max(10_000).default(9_000),
  /** How long a failing part or commit is tried again before the attempt fails with StoreUnavailable: a new dump costs more. */
  storeRetrySeconds: seconds.default(900),
})
const backupTaskSchema = backupFields.refine(task => (task.slot === undefined) !== (task.cronJob === undefined), {
  error: 'exactly one of slot and cronJob must be set',
})
/** One backup run of one target: the pod also has the user's container. */
export type BackupTask = Readonly<z.infer<typeof backupTaskSchema>>

const probeTaskSchema = z.strictObject({
  ...common,
  kind: z.literal('probe'),
  encryption: encryptionSchema.optional(),
})
/** Can the policy's backend be used? Facts and reasons come back in the message (R2). */
export type ProbeTask = Readonly<z.infer<typeof probeTaskSchema>>

const catalogTaskSchema = z.strictObject({
  ...common,
  kind: z.literal('catalog'),
  target: name(253),
  /** `catalog.next` of the previous page's message. Absent: from the oldest run. */
  cursor: z.string().max(1024).optional(),
})
/** One page of the kept runs of a target (R7). */
export type CatalogTask = Readonly<z.infer<typeof catalogTaskSchema>>

const holdTaskSchema = z.strictObject({
  ...common,
  kind: z.literal('hold'),
  target: name(253),
  /** The run to hold or to release. */
  run: name(63),
  /** With the run it names the manifest; ms since the epoch. Absent: the manifest is looked for in the list of the target. */
  slot: z.int().nonnegative().optional(),
  held: z.boolean(),
})
/** Writes or removes the hold of one run in the bucket, and looks whether that is so (R28). */
export type HoldTask = Readonly<z.infer<typeof holdTaskSchema>>

const startTaskSchema = z.strictObject({ ...common, kind: z.literal('start') })
/** Nothing: the pod of a run is only tried (R35). */
export type StartTask = Readonly<z.infer<typeof startTaskSchema>>

/** Whose Restore it is. */
const restoreFields = {
  ...common,
  restore: z.strictObject({ uid: name(64), namespace: name(63), name: name(253) }),
  /** When its Job is certainly over, ms since the epoch: a pin says so, and is ignored from then on. */
  expiresAt: z.int().positive(),
}

/** `owner` names the folder, which may be of another cluster: nothing is written there but the pin. */
const resolveTaskSchema = z.strictObject({
  ...restoreFields,
  kind: z.literal('resolve'),
  /** Absent: the one target that there is. */
  target: name(253).optional(),
  /** `newest` good one, the newest at or before a time (ms since the epoch), this run, or none: then what is there is told. */
  pick: z.union([
    z.literal('newest'),
    z.literal('nothing'),
    z.strictObject({ before: z.int().nonnegative() }),
    z.strictObject({ run: name(63) }),
  ]),
})
/** Chooses one backup of a folder, once, and pins it there. */
export type ResolveTask = Readonly<z.infer<typeof resolveTaskSchema>>

const restoreTaskSchema = z.strictObject({
  ...restoreFields,
  kind: z.literal('restore'),
  target: name(253),
  run: name(63),
  /** With the run it names the manifest; ms since the epoch. */
  slot: z.int().nonnegative(),
  /** A directory with files of age identities. Absent: what is encrypted cannot be read. */
  identitiesDirectory: z.string().min(1).optional(),
  /** Restores into nothing: every byte is read and checked, and the proof is written into the bucket. */
  verify: z.boolean().default(false),
  startTimeoutSeconds: seconds.default(600),
  /**
   * The command takes no byte, while there are some, for so long: it is given up. A store that is slow is none of its fault, and a database
   * that makes an index in the middle of a dump takes none for hours.
   */
  stallTimeoutSeconds: seconds.default(21_600),
  storeRetrySeconds: seconds.default(900),
})
/** One attempt of one restore: the pod also has the restore command's container. */
export type RestoreTask = Readonly<z.infer<typeof restoreTaskSchema>>

const taskSchema = z.discriminatedUnion('kind', [
  backupTaskSchema,
  probeTaskSchema,
  catalogTaskSchema,
  holdTaskSchema,
  startTaskSchema,
  resolveTaskSchema,
  restoreTaskSchema,
])
export type MoverTask = BackupTask | ProbeTask | CatalogTask | HoldTask | StartTask | ResolveTask | RestoreTask
/** As `MoverTask`, where fields with a default may be left out. */
export type MoverTaskInput = z.input<typeof taskSchema>

/**
 * Reads `BACKUP_TASK` and fills defaults.
 * @throws Error with a sentence for the operator's log: the text is no task of this version.
 */
export function parseMoverTask(text: string): MoverTask {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new Error('the task is not JSON: the operator and the mover image do not belong together', { cause })
  }
  const parsed = taskSchema.safeParse(value)
  if (parsed.success) return parsed.data
  throw new Error(
    `the task is not one that this mover understands (are operator and mover of one version?): ${z.prettifyError(parsed.error).replaceAll('\n', '; ')}`,
    { cause: parsed.error },
  )
}
