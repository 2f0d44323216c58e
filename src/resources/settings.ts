// What the installation, not the user, decides about the pods that we create.

export type Settings = {
  /** Our own image: init container and mover. */
  readonly image: string
  readonly imagePullPolicy?: string
  /** Pull secrets by name, looked up in the namespace of each pod. */
  readonly imagePullSecrets: readonly string[]
  /** Identity of this cluster in the bucket: the UID of kube-system, or a chart value (docs/design.md R11). */
  readonly clusterId: string
}
