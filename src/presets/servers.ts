// Which container of a workload is the server of a preset, which port it listens on, and whether it is only a copy of another one.
import type { ForeignContainer, ForeignPod } from '../api/kubernetes.ts'
import type { Preset } from './preset.ts'
import { publicValue, variable } from './variables.ts'
import { roleOf, type WorkloadPods } from './workloads.ts'

export type Server = {
  readonly pod: ForeignPod
  readonly container: ForeignContainer
  readonly port: number
  /** Its data are a copy of those of another workload. */
  readonly isReplica: boolean
  /** Bitnami's images give variables another meaning than the official ones. */
  readonly isBitnami: boolean
}

export type Recognized =
  | { readonly is: 'server'; readonly server: Server }
  | { readonly is: 'several'; readonly containers: readonly string[] }
  | { readonly is: 'none' }

/** The image of a server tells most; without one that does, a container with the server's port or data directory is taken for it. */
export function recognize(preset: Preset, { pods: [pod] }: WorkloadPods): Recognized {
  const possible = pod.spec.containers.filter(({ image = '' }) => !preset.otherImage.test(lastPart(image)))
  const byImage = possible.filter(({ image = '' }) => preset.serverImage.test(lastPart(image)))
  const found =
    byImage.length > 0
      ? byImage
      : possible.filter(
          container =>
            (container.ports ?? []).some(({ containerPort }) => containerPort === preset.port) ||
            preset.serverVariables.some(name => variable(container, name).is !== 'absent'),
        )
  const [container, ...others] = found
  if (!container) return { is: 'none' }
  if (others.length > 0) return { is: 'several', containers: found.map(({ name }) => name) }
  const isReplica =
    preset.replicaVariables.some(name => /^(slave|replica)$/i.test(publicValue(container, name) ?? '')) ||
    // Other labels of a role move from pod to pod, and are on none while the primary changes.
    roleOf({ component: pod.metadata.labels?.['app.kubernetes.io/component'] ?? '' }) === 'replica'
  const isBitnami =
    container.image?.includes('bitnami') === true ||
    (container.volumeMounts ?? []).some(({ mountPath }) => /^\/(opt\/)?bitnami(\/|$)/.test(mountPath))
  return { is: 'server', server: { pod, container, port: portOf(preset, container), isReplica, isBitnami } }
}

/** `postgresql` of `docker.io/bitnami/postgresql:17.2@sha256:…`, in lower case. */
function lastPart(image: string): string {
  const path = image.split('@')[0] ?? ''
  return (path.slice(path.lastIndexOf('/') + 1).split(':')[0] ?? '').toLowerCase()
}

function portOf(preset: Preset, container: ForeignContainer): number {
  for (const name of preset.portVariables) {
    const said = publicValue(container, name) ?? ''
    if (isPort(said)) return Number(said)
  }
  const declared = (container.ports ?? []).filter(
    ({ name = '', protocol = 'TCP' }) => protocol === 'TCP' && !/http|metric|health/.test(name),
  )
  const [only] = declared
  return declared.length === 1 && only ? only.containerPort : preset.port
}

function isPort(text: string): boolean {
  return /^[1-9][0-9]{0,4}$/.test(text) && Number(text) <= 65_535
}
