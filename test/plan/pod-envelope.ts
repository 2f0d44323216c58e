// What every pod that we create keeps to.
import assert from 'node:assert/strict'
import type { Container, PodSpec } from '../../src/api/kubernetes.ts'

export const containersOf = ({ initContainers = [], containers }: PodSpec): readonly Container[] => [
  ...initContainers,
  ...containers,
]

/** Pod Security Standards, level restricted, and what we ask of ourselves beyond it. */
export function envelopeProblems(pod: PodSpec): readonly string[] {
  const problems: string[] = []
  const want = (holds: boolean, problem: string) => {
    if (!holds) problems.push(problem)
  }
  const loose: Readonly<Record<string, unknown>> = { ...pod }
  for (const field of ['hostNetwork', 'hostPID', 'hostIPC', 'shareProcessNamespace', 'serviceAccountName', 'hostUsers'])
    want(loose[field] === undefined, `${field} is set`)
  want(loose['automountServiceAccountToken'] === false, 'a service account token is mounted')
  want(loose['enableServiceLinks'] === false, 'services of the namespace leak into the environment')
  want(loose['restartPolicy'] === 'Never', 'an attempt would be hidden by a restart')
  want((pod.activeDeadlineSeconds ?? 0) > 0, 'the pod has no deadline')
  for (const volume of pod.volumes) {
    const kinds = Object.keys(volume).filter(key => key !== 'name')
    want(
      kinds.length === 1 && ['emptyDir', 'secret', 'configMap'].includes(kinds[0] ?? ''),
      `a volume of kind ${kinds.join()}`,
    )
  }
  for (const { name, securityContext, volumeMounts = [], ...container } of containersOf(pod)) {
    const context = securityContext as Readonly<Record<string, unknown>>
    want(context['allowPrivilegeEscalation'] === false, `${name} may gain privileges`)
    want(context['readOnlyRootFilesystem'] === true, `${name} may write to its root`)
    want(context['runAsNonRoot'] === true, `${name} may be root`)
    want(
      Number(context['runAsUser']) > 0 && Number(context['runAsGroup']) > 0,
      `${name} has no user and group of its own`,
    )
    want(context['privileged'] === undefined, `${name} is privileged`)
    assert.deepEqual(context['capabilities'], { drop: ['ALL'] })
    assert.deepEqual(context['seccompProfile'], { type: 'RuntimeDefault' })
    want(
      !('ports' in container || 'volumeDevices' in container || 'lifecycle' in container),
      `${name} has more than it needs`,
    )
    want(
      volumeMounts.every(mount => pod.volumes.some(volume => (volume as { name?: string }).name === mount.name)),
      `${name} mounts what is not there`,
    )
  }
  return problems
}
