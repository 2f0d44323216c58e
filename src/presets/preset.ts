// What a preset is: facts about one database as people run it, as data. And what is found with it: targets, and how each is reached.
import type { Reason } from '../api/conditions.ts'
import type { PresetName } from '../api/kinds/backup-policy-job.ts'

export type Preset = {
  readonly name: PresetName
  /** As people write it. */
  readonly title: string
  /** File name of the script that dumps, restores and verifies; the init container puts it beside the helpers. */
  readonly script: string
  /** Programs of which the image must have one; a dry start looks for them. */
  readonly programs: readonly [string, ...string[]]
  /** Whether its script can bring back one table alone. */
  readonly restoresTables: boolean
  /** Port that the server listens on unless told otherwise. */
  readonly port: number
  /** Variables of the server's container that say otherwise. */
  readonly portVariables: readonly string[]
  /** Matches the last part of a server's image name, without tag. */
  readonly serverImage: RegExp
  /** Matches that of a program around it: exporters, pools, proxies. */
  readonly otherImage: RegExp
  /** Variables that only a server has. */
  readonly serverVariables: readonly string[]
  /** Variables whose value `slave` or `replica` makes a server the copy of another workload. */
  readonly replicaVariables: readonly string[]
  /** Whose password the environment of a server tells; the first that stands there makes the dump. */
  readonly accounts: readonly Account[]
  /** Operators that keep Services and credentials under names of their own. */
  readonly operators: readonly DatabaseOperator[]
  /** Variables that the script reads. */
  readonly variables: {
    readonly host: string
    readonly port: string
    readonly user: string
    readonly password: string
    readonly tlsMode: string
    readonly tlsAuthority: string
    readonly tlsCertificate: string
    readonly tlsKey: string
  }
}

/** A user of the database, as the environment of its server tells of it. For each password variable there is one with `_FILE`, too. */
export type Account = {
  readonly userVariables: readonly string[]
  /** Where none of them is set. Undefined: then there is no such user. */
  readonly defaultUser: string | undefined
  readonly passwordVariables: readonly string[]
  /** Variables that say that there is no password, and the values that do. */
  readonly withoutPassword: readonly { readonly name: string; readonly value: RegExp }[]
  /**
   * Variables that may come from a Secret or ConfigMap by `envFrom`, whose keys are not ours to read: the password, without which the image
   * does not start, and the user, who may also be left out there.
   */
  readonly assumed?: { readonly password: string; readonly user?: string }
  /** Whether such a user may do everything, what a restore needs. `user` is undefined where only a Secret knows it. */
  readonly isAdministrator: (user: string | undefined, isBitnami: boolean) => boolean
}

/** An operator of databases: which pods are its, and what its objects are called. */
export type DatabaseOperator = {
  readonly title: string
  /** Name of the cluster that a pod belongs to; undefined where it is not of this operator. */
  readonly cluster: (pod: {
    readonly owner: Workload
    readonly labels: Readonly<Record<string, string>>
  }) => string | undefined
  /** The Service that leads to the primary, whatever its selector. */
  readonly service: (cluster: string) => string
  /** Where it keeps credentials. Undefined: the environment of the server tells. */
  readonly credentials?: {
    readonly dump: (cluster: string) => Credentials
    readonly administrator: (cluster: string) => Credentials
    readonly note: (cluster: string) => string
  }
}

/** The top of a pod's chain of controllers: a StatefulSet, a Deployment, a custom resource, or the pod itself. */
export type Workload = { readonly apiVersion: string; readonly kind: string; readonly name: string }

/** A key of a Secret or a ConfigMap of the namespace: where a value is, never the value. */
export type KeyReference = { readonly kind: 'Secret' | 'ConfigMap'; readonly name: string; readonly key: string }

export type User =
  | { readonly is: 'named'; readonly name: string }
  /** `optional`: where the key is missing it is the engine's own administrator. */
  | { readonly is: 'key'; readonly reference: KeyReference; readonly optional?: true }

export type Password =
  | { readonly is: 'key'; readonly reference: KeyReference }
  /** As the server reads it: a file, whose last line break does not count. */
  | { readonly is: 'file'; readonly reference: KeyReference }
  /** A file in one of `strategy.job.volumes`. */
  | { readonly is: 'volume'; readonly volume: string; readonly path: string }
  | { readonly is: 'none' }

export type Credentials = { readonly user: User; readonly password: Password }

export type Tls = {
  readonly mode?: string
  /** A Secret with the keys ca.crt, tls.crt and tls.key; any of them may be missing. */
  readonly secretName?: string
  readonly authority?: KeyReference
  readonly certificate?: KeyReference
  readonly key?: KeyReference
}

export type Connection = Credentials & { readonly host: string; readonly port: number; readonly tls?: Tls }

/** Each is explained in docs/conditions.md. */
export type ProblemReason = Extract<
  Reason,
  'Ambiguous' | 'NoService' | 'CredentialsUnknown' | 'LiteralPassword' | 'ServerNotRecognized'
>

/** What could not be found out, and the field that says it instead. */
export type Problem = { readonly reason: ProblemReason; readonly message: string; readonly field: string }

type Named = {
  /** The name of the workload, or of the preset where there is none. */
  readonly name: string
  /** Undefined for a server that no selected pod runs. */
  readonly workload: Workload | undefined
}

export type ResolvedTarget = Named & {
  readonly is: 'resolved'
  readonly image: string
  /** Secrets that its pods pull their images with. */
  readonly imagePullSecrets: readonly string[]
  readonly connection: Connection
  /** Who a restore connects as, unless it says so itself: never the user of the dump as such. */
  readonly administrator: Credentials | Problem
  /** What was assumed, in sentences. */
  readonly notes: readonly string[]
}

export type UnresolvedTarget = Named & {
  readonly is: 'unresolved'
  readonly problems: readonly [Problem, ...Problem[]]
}

export type Target = ResolvedTarget | UnresolvedTarget

export type FoundTargets = {
  /** In the order of their names. */
  readonly targets: readonly Target[]
  /** What the selector matches too and is no target, with the reason in a sentence. */
  readonly passedOver: readonly { readonly workload: Workload; readonly message: string }[]
}
