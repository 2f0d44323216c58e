// The chart as tests and the demo use it: rendered, or installed as a user would.
import { dirname, join } from 'node:path'
import { parseAllDocuments } from 'yaml'
import { capture } from '../../dev/command.ts'
import { goToolDirectory } from '../../dev/go-tools.ts'
import { repository } from '../../dev/paths.ts'
import type { KubernetesObject } from '../../src/api/kubernetes.ts'

export const chartDirectory = join(repository, 'charts/backup-operator')
export const releaseName = 'backup-operator'
export const releaseNamespace = 'backup-system'

/** Where a chart is installed: a `ControlPlane`, or any cluster's kubeconfig. */
type Target = { readonly kubeconfig: string }

/**
 * Runs helm and gives its stdout. Its caches and settings are in the kubeconfig's folder, or nowhere.
 * @throws CommandError (dev/command.ts) with what helm said in `stderr`.
 */
export async function helm(args: readonly string[], target?: Target): Promise<string> {
  const HOME = target ? dirname(target.kubeconfig) : '/nonexistent'
  const env = { HOME, ...(target ? { KUBECONFIG: target.kubeconfig } : { KUBECONFIG: '/dev/null' }) }
  return await capture([join(goToolDirectory('helm'), 'helm'), ...args], { env })
}

/** `helm template` of the release. `values` are arguments of `--set-json`. */
export async function renderChart(
  values: readonly string[] = [],
  chart: string = chartDirectory,
): Promise<readonly KubernetesObject[]> {
  const text = await helm(['template', releaseName, chart, '--namespace', releaseNamespace, ...setting(values)])
  return parseAllDocuments(text).flatMap(document => {
    const object = document.toJS() as KubernetesObject | null
    return object ? [object] : []
  })
}

/** Installs or upgrades the release. Without `wait`: a bare API server runs no pods. */
export async function installChart(
  target: Target,
  values: readonly string[] = [],
  chart: string = chartDirectory,
): Promise<string> {
  const where = ['--namespace', releaseNamespace, '--create-namespace']
  return await helm(['upgrade', '--install', releaseName, chart, ...where, ...setting(values)], target)
}

export async function uninstallChart(target: Target): Promise<string> {
  return await helm(['uninstall', releaseName, '--namespace', releaseNamespace], target)
}

function setting(values: readonly string[]): readonly string[] {
  return values.flatMap(value => ['--set-json', value])
}
