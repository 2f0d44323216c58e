// Something that adds to the pods of one namespace, as injectors of sidecars do.
import type { TestContext } from 'node:test'
import { productImage } from '../dev/chart-image.ts'
import { kubectl } from '../dev/cluster-access.ts'
import { eventually } from '../dev/eventually.ts'
import { selfSigned } from './certificate.ts'
import { cluster, patience, waitFor } from './cluster.ts'
import { put } from './objects.ts'
import { program } from './program.ts'
import { secret } from './stack.ts'

const name = 'pod-changer'

/**
 * Puts the pods of the namespace `changed`, which its pod security then refuses, on the host's network, from a webhook that runs in the
 * namespace `home`; returns once it does. It belongs to
 * no namespace: the story that made it removes it, or the next one in its place.
 */
export async function changesPods(t: TestContext, home: string, changed: string): Promise<{ stop(): Promise<void> }> {
  const configuration = `e2e-${name}-of-${changed}`
  const stop = async () =>
    void (await kubectl(cluster, ['delete', '--ignore-not-found', 'mutatingwebhookconfiguration', configuration]))
  await stop()
  t.after(stop)
  const { certificate, key } = await selfSigned(`${name}.${home}.svc`)
  await put(
    secret(home, name, { 'certificate.pem': certificate, 'key.pem': key }),
    ...program(home, name, { file: 'e2e/pod-changer-program.ts', port: 8443, secret: name }),
  )
  await waitFor(home, `pod/${name}`, 'condition=Ready')
  const webhook = {
    name: 'pod-changer.backup-operator.test',
    admissionReviewVersions: ['v1'],
    sideEffects: 'None',
    namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': changed } },
    rules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['pods'] }],
    clientConfig: { service: { namespace: home, name, port: 8443 }, caBundle: btoa(certificate) },
  }
  await put({
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'MutatingWebhookConfiguration',
    metadata: { name: configuration },
    webhooks: [webhook],
  })
  const any = ['run', 'any', `--image=${productImage}`, '--dry-run=server']
  await eventually(
    'pods to be put on the host network',
    () => kubectl(cluster, ['-n', changed, ...any]).then(() => false, isAboutHostNetwork),
    { seconds: patience },
  )
  return { stop }
}

function isAboutHostNetwork(error: unknown): boolean {
  return error instanceof Error && error.message.includes('hostNetwork=true')
}
