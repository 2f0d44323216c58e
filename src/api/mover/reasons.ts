// Why a mover fails, and what it warns of: words, exit codes, and which of them no retry can cure.

/**
 * Every reason for which a mover fails, with the exit code it ends with. The codes that no retry can cure are
 * `permanentExitCodes`; the Job's `podFailurePolicy` fails the Job on them.
 */
export const moverReasons = {
  /** The command ended with a status other than 0. */
  SourceExit: 10,
  /** The command was killed by a signal (137 = SIGKILL: usually its memory limit), or told to stop. */
  SourceSignalled: 10,
  /** The program is not in the image's PATH (status 127), or cannot be executed (126). */
  CommandNotFound: 16,
  /** The command's container died without giving a status: out of memory, eviction, killed. */
  SourceKilled: 11,
  /** The command's container did not start in time: image pull, configuration. */
  SourceNotStarted: 12,
  /** The command wrote nothing for too long. */
  SourceStalled: 13,
  /** The command ended with 0 and wrote nothing, or only what a compressor or an archiver makes of nothing. */
  EmptyOutput: 14,
  /** The command ended with 0, but processes that it left behind hold its standard output open and are silent. */
  WritersRemain: 17,
  /** The task is missing, or not one of this mover's version. */
  InvalidTask: 15,
  /** The store cannot serve now: 5xx, throttling, connections lost; retried before it was given up. */
  StoreUnavailable: 20,
  /** No connection: the name does not resolve, the port refuses, nothing answers. The message says which. */
  EndpointUnreachable: 20,
  /** The store says that it has no space left, or that a quota is reached. */
  StoreFull: 20,
  /** The endpoint is no URL, or what answers there is no S3 API. */
  InvalidEndpoint: 21,
  /** The certificate of the endpoint is not trusted, expired, or for another name. */
  TLSVerificationFailed: 21,
  /** The Secret named by the policy does not exist. */
  SecretNotFound: 21,
  /** The Secret exists, but has none of the accepted keys; the message names those looked for. */
  SecretKeyMissing: 21,
  /** Whom to encrypt to is not known: the ConfigMap is not there, or what is listed is no public key that can be encrypted to. */
  RecipientsInvalid: 21,
  BucketNotFound: 21,
  /** 403 or 401: wrong key, or no permission. */
  AccessDenied: 21,
  /** The session token is over, and the mounted Secret was not renewed in time. */
  CredentialsExpired: 21,
  /** The bucket is in another region than `backend.region`; the message names it. */
  RegionWrong: 21,
  /** The store does not take the bucket's name in the path, or its host has it already. */
  AddressingRefused: 21,
  /** The store demands a checksum, and takes none that we can send. */
  ChecksumRefused: 21,
  /** An object that must be read is in an archive (GLACIER and the like). */
  ObjectArchived: 21,
  /** Reading is allowed, writing is not. */
  StoreReadOnly: 21,
  /** The clocks of node and store differ by more than the store accepts. */
  ClockSkew: 21,
  /** The store refuses a request that we must make (400, 501); the message holds its own words. */
  StoreRejected: 21,
  /**
   * What this attempt stored was gone, or of another size, when its manifest was about to be written, or right after. Of a restore: an
   * object of the backup is gone.
   */
  DataLost: 20,
  /** The manifest of this run was written by another Job. */
  RunExists: 22,
  /** The prefix belongs to another cluster, namespace or policy. */
  PrefixOwnedByOther: 23,
  /** The prefix was written by a newer version, or its owner mark cannot be read. */
  FormatUnsupported: 24,
  /** The run that is to be held has no manifest: there is nothing to hold. */
  BackupNotFound: 25,
  /** A bucket without run, newest or before: somebody has to choose. */
  RunNotNamed: 26,
  /** The backup is encrypted, and none of the identities given opens it, or none was given. */
  NoIdentityMatches: 27,
  /** What the bucket holds is not what was written: cut, reordered, changed, or of another backup. */
  DataTampered: 28,
  /** Two artifacts of one run have the same name, or one has none. */
  ArtifactName: 15,
  /** The restore command ended with 0 before all of its artifact could be checked, and the rest proves false. */
  RestoreUnproven: 28,
  /** What a preset refuses, each in its own words; nearly all before its first byte. Code 10 is what may pass by itself. */
  ServerUnreachable: 10,
  RestoreUnfinished: 10,
  LoginRefused: 19,
  TlsFileMissing: 19,
  ClientMissing: 19,
  ClientOfOtherKind: 19,
  ClientOlderThanServer: 19,
  DatabaseMissing: 19,
  NothingToDump: 19,
  RightsMissing: 19,
  RowSecurity: 19,
  LargeObjectsUnreadable: 19,
  ExtensionUnsupported: 19,
  ViewInvalid: 19,
  DatabaseNameUnsupported: 19,
  NameUnsupported: 19,
  NonTransactionalTables: 19,
  ClientOlder: 19,
  ServerOlder: 19,
  ServerReadOnly: 19,
  OtherEngine: 19,
  ExtensionMissing: 19,
  RolesMissing: 19,
  DatabaseAmbiguous: 19,
  IntoNeedsOneDatabase: 19,
  NameTooLong: 19,
  NameTaken: 19,
  TargetMissing: 19,
  TargetNotEmpty: 19,
  SwapBlocked: 19,
  SwapUnsupported: 19,
  NotInBackup: 19,
  GlobalsUnsafe: 19,
  DumpIncomplete: 19,
  TablesMissing: 19,
  ContentDiffers: 19,
  RestoredDiffers: 19,
  /** Another one, of a script that this program does not know. */
  Refused: 19,
  /** The helpers in the two containers did not keep to the protocol. */
  Protocol: 1,
  /** A defect of the mover. */
  Internal: 1,
  /** The pod was told to stop: deleted, evicted, or its deadline passed. */
  Terminated: 30,
  /** The attempt outlived its own expiry: others may be removing its data, so that nothing is committed any more. */
  AttemptExpired: 30,
} as const satisfies Readonly<Record<string, number>>
export type MoverReason = keyof typeof moverReasons

/** What a preset's script may refuse with, by its own word. */
export const refusals = [
  'ServerUnreachable',
  'RestoreUnfinished',
  'LoginRefused',
  'TlsFileMissing',
  'ClientMissing',
  'ClientOfOtherKind',
  'ClientOlderThanServer',
  'DatabaseMissing',
  'NothingToDump',
  'RightsMissing',
  'RowSecurity',
  'LargeObjectsUnreadable',
  'ExtensionUnsupported',
  'ViewInvalid',
  'DatabaseNameUnsupported',
  'NameUnsupported',
  'NonTransactionalTables',
  'ClientOlder',
  'ServerOlder',
  'ServerReadOnly',
  'OtherEngine',
  'ExtensionMissing',
  'RolesMissing',
  'DatabaseAmbiguous',
  'IntoNeedsOneDatabase',
  'NameTooLong',
  'NameTaken',
  'TargetMissing',
  'TargetNotEmpty',
  'SwapBlocked',
  'SwapUnsupported',
  'NotInBackup',
  'GlobalsUnsafe',
  'DumpIncomplete',
  'TablesMissing',
  'ContentDiffers',
  'RestoredDiffers',
  'Refused',
] as const satisfies readonly MoverReason[]

/**
 * Failures of the command itself. A retry may cure them (a failover of the database takes seconds), but not at any time: later than
 * `startingDeadlineSeconds` after its slot a run would come when nobody wants it, and ends with `tooLateExitCode` (docs/design.md R32).
 */
export const commandFailures: readonly MoverReason[] = [
  'SourceExit',
  'SourceSignalled',
  'SourceKilled',
  'SourceStalled',
  'EmptyOutput',
]
export const tooLateExitCode = 18

/** What a retry of the pod cannot cure: `podFailurePolicy` of the Job fails it at once. */
export const permanentExitCodes = [15, 16, 17, tooLateExitCode, 19, 21, 22, 23, 24, 26, 27, 28] as const

export function exitCodeOf(reason: MoverReason): number {
  return moverReasons[reason]
}

export function isPermanent(reason: MoverReason): boolean {
  return (permanentExitCodes as readonly number[]).includes(moverReasons[reason])
}

/** Reasons of warnings: the backup (or the probe) succeeded all the same. */
export const moverWarnings = [
  /** The store refused a list or a delete (403, Object Lock): nothing is pruned. */
  'RetentionBlocked',
  /** Listing or deleting failed otherwise; the next run tries again. */
  'RetentionIncomplete',
  /** The newest backup is suspect: nothing is pruned until it is accepted or a good one follows. */
  'RetentionPaused',
  /** The store does not know `If-None-Match`: two attempts at once are told apart by look-then-write only. */
  'UnconditionalCommit',
  /** The bucket keeps what is deleted as older versions: pruning frees nothing. */
  'VersionedBucket',
  /** Processes that the command left behind wrote on after it had ended; they closed its output by themselves, but nobody knows their status. */
  'LateWriters',
  /** This backup is far smaller than the largest good one since the newest accepted one. */
  'Suspect',
  /** An upload or an object of this attempt could not be removed; a later run does it. */
  'LeftoverUpload',
  /** A manifest of the target cannot be read; it is neither counted nor deleted. */
  'ManifestUnreadable',
  /** A backup of another cluster, namespace or policy is in the folder; it is neither counted nor deleted. */
  'ForeignBackups',
  /** A newer backup than the one that is restored was passed over: it is suspect, cannot be read, or its data are not whole. */
  'NewerPassedOver',
  /** Every byte was read and was right; the store did not take the proof of it. */
  'ProofNotWritten',
] as const
export type MoverWarningReason = (typeof moverWarnings)[number]
