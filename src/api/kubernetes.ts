// The parts of Kubernetes' own objects that we read or write, as they are in JSON: times are strings, quantities are strings.
// Fields that we do not name are kept as they came: nothing here is ever used to copy an object field by field.

export type ObjectMeta = {
  readonly name: string
  readonly namespace?: string
  readonly uid?: string
  readonly resourceVersion?: string
  readonly generation?: number
  readonly creationTimestamp?: string
  readonly deletionTimestamp?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
  readonly ownerReferences?: readonly OwnerReference[]
  readonly finalizers?: readonly string[]
}

export type OwnerReference = {
  readonly apiVersion: string
  readonly kind: string
  readonly name: string
  readonly uid: string
  readonly controller?: boolean
  readonly blockOwnerDeletion?: boolean
}

export type KubernetesObject = { readonly apiVersion: string; readonly kind: string; readonly metadata: ObjectMeta }

/** metav1.Condition. Times are RFC 3339 with whole seconds. */
export type Condition = {
  readonly type: string
  readonly status: 'True' | 'False' | 'Unknown'
  readonly reason: string
  readonly message: string
  readonly lastTransitionTime: string
  readonly observedGeneration?: number
}

export type LabelSelector = {
  readonly matchLabels?: Readonly<Record<string, string>>
  readonly matchExpressions?: readonly {
    readonly key: string
    readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist'
    readonly values?: readonly string[]
  }[]
}

export type CronJob = KubernetesObject & {
  readonly spec: {
    readonly schedule: string
    readonly timeZone?: string
    readonly suspend?: boolean
    readonly startingDeadlineSeconds?: number
    readonly concurrencyPolicy?: 'Allow' | 'Forbid' | 'Replace'
    readonly successfulJobsHistoryLimit?: number
    readonly failedJobsHistoryLimit?: number
    readonly jobTemplate: { readonly metadata?: Partial<ObjectMeta>; readonly spec: JobSpec }
  }
  readonly status?: { readonly lastScheduleTime?: string; readonly lastSuccessfulTime?: string }
}

export type JobSpec = {
  readonly suspend?: boolean
  readonly parallelism?: number
  readonly completions?: number
  readonly backoffLimit?: number
  readonly activeDeadlineSeconds?: number
  readonly ttlSecondsAfterFinished?: number
  readonly podReplacementPolicy?: 'Failed' | 'TerminatingOrFailed'
  readonly podFailurePolicy?: { readonly rules: readonly object[] }
  readonly template: { readonly metadata?: Partial<ObjectMeta>; readonly spec: PodSpec }
}

export type Job = KubernetesObject & {
  readonly spec: JobSpec
  readonly status?: {
    readonly startTime?: string
    readonly completionTime?: string
    readonly active?: number
    readonly failed?: number
    readonly succeeded?: number
    readonly conditions?: readonly {
      readonly type: string
      readonly status: string
      readonly reason?: string
      readonly message?: string
      readonly lastTransitionTime?: string
    }[]
  }
}

export type EnvVar = { readonly name: string; readonly value?: string; readonly valueFrom?: object }

export type Container = {
  readonly name: string
  readonly image: string
  readonly imagePullPolicy?: string
  readonly command?: readonly string[]
  readonly args?: readonly string[]
  readonly env?: readonly EnvVar[]
  readonly envFrom?: readonly object[]
  readonly resources?: object
  readonly securityContext?: object
  readonly terminationMessagePolicy?: 'File' | 'FallbackToLogsOnError'
  readonly volumeMounts?: readonly { readonly name: string; readonly mountPath: string; readonly readOnly?: boolean }[]
}

/** Its source is under the name of its kind. */
export type Volume = { readonly name: string; readonly [source: string]: unknown }

export type PodSpec = {
  readonly restartPolicy: 'Never'
  readonly activeDeadlineSeconds?: number
  readonly automountServiceAccountToken: false
  readonly enableServiceLinks: false
  readonly terminationGracePeriodSeconds: number
  readonly securityContext: object
  readonly imagePullSecrets?: readonly { readonly name: string }[]
  readonly nodeSelector?: Readonly<Record<string, string>>
  readonly initContainers?: readonly Container[]
  readonly containers: readonly Container[]
  readonly volumes: readonly Volume[]
}

export type ContainerStatus = {
  readonly name: string
  readonly state?: {
    readonly waiting?: { readonly reason?: string; readonly message?: string }
    readonly running?: { readonly startedAt?: string }
    readonly terminated?: {
      readonly exitCode: number
      readonly reason?: string
      readonly message?: string
      /** null for a container that the kubelet has lost. */
      readonly startedAt?: string | null
      readonly finishedAt?: string | null
      readonly signal?: number
    }
  }
}

export type Pod = KubernetesObject & {
  readonly status?: {
    readonly phase?: 'Pending' | 'Running' | 'Succeeded' | 'Failed' | 'Unknown'
    readonly reason?: string
    readonly message?: string
    /** When the kubelet took it over: its `activeDeadlineSeconds` count from here. */
    readonly startTime?: string
    readonly conditions?: readonly {
      readonly type: string
      readonly status: string
      readonly reason?: string
      readonly message?: string
      readonly lastTransitionTime?: string
    }[]
    readonly initContainerStatuses?: readonly ContainerStatus[]
    readonly containerStatuses?: readonly ContainerStatus[]
  }
}

/** core/v1 Event about a Job or a CronJob: the only place where quota and pod security denials are told (docs/design.md R21). */
export type JobEvent = KubernetesObject & {
  readonly involvedObject: {
    readonly kind: string
    readonly namespace?: string
    readonly name: string
    readonly uid?: string
  }
  readonly reason?: string
  readonly message?: string
  readonly type?: string
  readonly lastTimestamp?: string
}

/** What a claim is to be filled from. */
export type DataSource = {
  readonly apiGroup?: string
  readonly kind: string
  readonly name: string
  readonly namespace?: string
}

export type PersistentVolumeClaim = KubernetesObject & {
  readonly spec: {
    readonly storageClassName?: string
    readonly volumeName?: string
    readonly volumeMode?: 'Filesystem' | 'Block'
    readonly dataSource?: DataSource
    readonly dataSourceRef?: DataSource
  }
  readonly status?: { readonly phase?: 'Pending' | 'Bound' | 'Lost' }
}

/** Only what class choice needs is kept of a PersistentVolume. */
export type PersistentVolume = KubernetesObject & {
  readonly spec: { readonly csi?: { readonly driver: string }; readonly claimRef?: { readonly namespace?: string } }
}

export type VolumeSnapshotClass = KubernetesObject & {
  readonly driver: string
  readonly deletionPolicy: 'Delete' | 'Retain'
}

export type VolumeSnapshot = KubernetesObject & {
  readonly spec: {
    readonly volumeSnapshotClassName?: string
    readonly source: { readonly persistentVolumeClaimName?: string }
  }
  readonly status?: {
    readonly boundVolumeSnapshotContentName?: string
    readonly creationTime?: string
    readonly readyToUse?: boolean
    readonly restoreSize?: string
    readonly error?: { readonly time?: string; readonly message?: string }
  }
}

/** An environment variable of a container that is not ours. */
export type ForeignEnvVar = {
  readonly name: string
  readonly value?: string
  readonly valueFrom?: {
    readonly secretKeyRef?: { readonly name?: string; readonly key: string }
    readonly configMapKeyRef?: { readonly name?: string; readonly key: string }
  }
}

/** A container that is not ours: what tells which server it is, and how it is reached. */
export type ForeignContainer = {
  readonly name: string
  readonly image?: string
  readonly env?: readonly ForeignEnvVar[]
  readonly envFrom?: readonly {
    readonly prefix?: string
    readonly secretRef?: { readonly name?: string }
    readonly configMapRef?: { readonly name?: string }
  }[]
  readonly ports?: readonly { readonly name?: string; readonly containerPort: number; readonly protocol?: string }[]
  readonly volumeMounts?: readonly {
    readonly name: string
    readonly mountPath: string
    readonly subPath?: string
    readonly subPathExpr?: string
  }[]
}

type KeysToPaths = readonly { readonly key: string; readonly path: string }[]

/** A volume of a pod that is not ours; only those of Secrets and ConfigMaps say where a file comes from. */
export type ForeignVolume = {
  readonly name: string
  readonly secret?: { readonly secretName?: string; readonly items?: KeysToPaths }
  readonly configMap?: { readonly name?: string; readonly items?: KeysToPaths }
  readonly projected?: {
    readonly sources?: readonly {
      readonly secret?: { readonly name?: string; readonly items?: KeysToPaths }
      readonly configMap?: { readonly name?: string; readonly items?: KeysToPaths }
    }[]
  }
}

/** A pod that is not ours. */
export type ForeignPod = Pod & {
  readonly spec: {
    readonly containers: readonly ForeignContainer[]
    readonly volumes?: readonly ForeignVolume[]
    readonly imagePullSecrets?: readonly { readonly name?: string }[]
  }
}

/** Which pods a workload has, also while it has none. */
type PodTemplate = { readonly metadata?: { readonly labels?: Readonly<Record<string, string>> } }

export type Deployment = KubernetesObject & { readonly spec: { readonly template?: PodTemplate } }

export type StatefulSet = KubernetesObject & {
  readonly spec: { readonly serviceName?: string; readonly template?: PodTemplate }
}

export type Service = KubernetesObject & {
  readonly spec: {
    readonly type?: string
    /** `None` where the name stands for the addresses of the pods. */
    readonly clusterIP?: string
    readonly selector?: Readonly<Record<string, string>>
    readonly ports?: readonly {
      readonly name?: string
      readonly protocol?: string
      readonly port: number
      /** A number, or the name of a port of the container. Left out: as `port`. */
      readonly targetPort?: number | string
    }[]
  }
}
