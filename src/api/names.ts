// Deterministic names: a child's name comes from its owner and slot, and is the lock that makes it exist once.
// What is cut is hashed, so that two owners never share a child.

/** CronJob names hold at most 52 characters: the controller appends `-<minutes>` for its Jobs, which hold 63. */
const maxCronJobName = 52
const maxJobName = 63
/** Backups and VolumeSnapshots share their name; kept to a label's length so that either can be a label value. */
const maxRunName = 63

const utf8 = new TextEncoder()

/** A 64-bit FNV-1a hash as 10 base-36 characters: for names, not for security. */
export function nameHash(...parts: readonly string[]): string {
  // In two halves of 32 bits, because whole objects are hashed at every look at them; the prime is 2^40 + 0x1b3.
  let [high, low] = [0xcbf29ce4, 0x84222325]
  for (const byte of utf8.encode(parts.join('\0'))) {
    const mixed = low ^ byte
    // Of 16 bits each, so that no product leaves the whole numbers of 32 bits.
    const lower = (mixed & 0xffff) * 0x1b3
    const upper = (mixed >>> 16) * 0x1b3 + (lower >>> 16)
    high = (Math.imul(high, 0x1b3) + (upper >>> 16) + (mixed << 8)) | 0
    low = (upper << 16) | (lower & 0xffff)
  }
  const hash = (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0)
  return hash.toString(36).padStart(13, '0').slice(-10)
}

/** `name` when it fits into `max` characters, else its beginning and a hash of all of it. */
export function hashed(name: string, max: number): string {
  if (name.length <= max) return name
  return `${name.slice(0, max - 11).replace(/[^a-zA-Z0-9]+$/, '')}-${nameHash(name)}`
}

/** The one artifact of a run: what the command writes to its standard output. */
export const backupArtifact = 'dump'

/** The one target of a job policy with an explicit command. */
export const commandTarget = 'command'

/** The CronJob of one target. An explicit command is the only target of its policy, and its CronJob is named after that alone. */
export function cronJobName(policy: string, target: string = commandTarget): string {
  const name = `backup-${policy}`
  if (target !== commandTarget) return withHash(`${name}-${target}`, nameHash(policy, target), maxCronJobName)
  return name.includes('.') ? withHash(name, nameHash(policy), maxCronJobName) : hashed(name, maxCronJobName)
}

/** The Job of an on-demand run; it ends in a hash of the Backup's UID, so that a re-created Backup is another run (docs/design.md R11). */
export function onDemandJobName(policy: string, backupUid: string): string {
  return withHash(`backup-${policy}`, nameHash(backupUid), maxJobName)
}

/** A Job that the API server is only asked about: no run has this name. */
export function dryRunJobName(policy: string, policyUid: string): string {
  return withHash(`backup-${policy}`, nameHash(policyUid, 'dry run'), maxJobName)
}

/** The n-th probe of one backend configuration. */
export function probeJobName(policy: string, policyUid: string, backendHash: string, attempt: number): string {
  return withHash(`probe-${policy}`, nameHash(policyUid, backendHash, String(attempt)), maxJobName)
}

/** The n-th dry start of what one target runs. */
export function startJobName(
  policy: string,
  policyUid: string,
  specHash: string,
  attempt: number,
  target: string = commandTarget,
): string {
  const ofTarget = target === commandTarget ? [] : [target]
  return withHash(`start-${policy}`, nameHash(policyUid, specHash, String(attempt), ...ofTarget), maxJobName)
}

/** One page of the catalog read that a run asked for. */
export function catalogJobName(policy: string, run: string, cursor: string): string {
  return withHash(`catalog-${policy}`, nameHash(policy, run, cursor), maxJobName)
}

/** What holds one run in the bucket, or releases it. */
export function holdJobName(policy: string, run: string, held: boolean): string {
  return withHash(`${held ? 'hold' : 'release'}-${policy}`, nameHash(policy, run), maxJobName)
}

/** What finds out which backup a Restore is of. */
export function resolveJobName(restore: string, restoreUid: string): string {
  return withHash(`resolve-${restore}`, nameHash(restoreUid, 'resolve'), maxJobName)
}

/** What brings it back. */
export function restoreJobName(restore: string, restoreUid: string): string {
  return withHash(`restore-${restore}`, nameHash(restoreUid, 'restore'), maxJobName)
}

/** In the names of what is half restored, or put aside: letters and digits only, which every engine takes in a name. */
export function restoreId(restoreUid: string): string {
  return nameHash(restoreUid)
}

/** The Backup and the VolumeSnapshot of one PVC at one slot. */
export function slotRunName(policy: string, target: string, slot: Date): string {
  return withHash(
    `${policy}-${target}`,
    `${slotText(slot).toLowerCase()}-${nameHash(policy, target).slice(0, 5)}`,
    maxRunName,
  )
}

/** The child Backup of one target of an on-demand Backup over several. */
export function childBackupName(parent: string, parentUid: string, target: string): string {
  return withHash(`${parent}-${target}`, nameHash(parentUid, target), maxRunName)
}

/** A VolumeSnapshot for a Backup that a person named: names may be longer than ours, and may be used again after a deletion. */
export function onDemandSnapshotName(backup: string, backupUid: string): string {
  return withHash(backup, nameHash(backupUid), maxRunName)
}

/** `YYYYMMDDThhmmssZ`: sorts as text, is a valid label value and object key. */
export function slotText(slot: Date): string {
  return slot.toISOString().replace(/[-:]|\.\d+/g, '')
}

/** The slot that `slotText` wrote; undefined for any other text. */
export function slotOfText(text = ''): Date | undefined {
  const [, ...parts] = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(text) ?? []
  const [year, month, day, hour, minute, second] = parts
  const ms = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`)
  return Number.isNaN(ms) ? undefined : new Date(ms)
}

/** The slot in a name of `slotRunName`; undefined for any other name. */
export function slotOfRunName(name: string): Date | undefined {
  return slotOfText(/-(\d{8}t\d{6}z)-[0-9a-z]{5}$/.exec(name)?.[1]?.toUpperCase())
}

/**
 * The slot of a CronJob's Job from its name, `<cronjob>-<minutes since the epoch>`; undefined for any other name.
 * Source: kubernetes pkg/controller/cronjob/utils.go `getJobName`.
 */
export function slotOfJobName(jobName: string, cronJob: string): Date | undefined {
  const minutes = jobName.startsWith(`${cronJob}-`) ? jobName.slice(cronJob.length + 1) : ''
  return /^\d{7,9}$/.test(minutes) ? new Date(Number(minutes) * 60_000) : undefined
}

/** Whether a run can be one of this target's: the CronJob of the target made it, or it is on demand. */
export function isRunOf(run: string, policy: string, target: string): boolean {
  if (slotOfJobName(run, cronJobName(policy, target)) !== undefined) return true
  const prefix = onDemandJobName(policy, '').slice(0, -10)
  return /^[0-9a-z]{10}$/.test(run.slice(-10)) && run.slice(0, -10) === prefix
}

function withHash(name: string, hash: string, max: number): string {
  const room = max - hash.length - 1
  return `${dnsLabel(name).slice(0, room).replace(/-+$/, '')}-${hash}`
}

/** Policy names may hold dots (DNS subdomain); Job and CronJob names become pod host names, which may not. */
function dnsLabel(name: string): string {
  return name.replaceAll('.', '-')
}
