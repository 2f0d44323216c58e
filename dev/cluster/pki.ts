// Keys, certificates and kubeconfigs of one cluster's life. They are made at each start and deleted with it.
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { capture } from '../command.ts'
import { runDirectory } from '../paths.ts'
import { apiServer, firstServiceAddress, nodeAddress, nodeName, pki, pkiFile } from './layout.ts'

type Identity = { readonly name: string; readonly subject: string; readonly hosts?: string }

// Each component has its own user, so that an audit log tells them apart from the operator and from people.
const identities: readonly Identity[] = [
  {
    name: 'apiserver',
    subject: '/CN=kube-apiserver',
    hosts: `DNS:kubernetes.default.svc,DNS:localhost,IP:${firstServiceAddress},IP:127.0.0.1,IP:${nodeAddress}`,
  },
  { name: 'apiserver-client', subject: '/O=system:masters/CN=kube-apiserver-kubelet-client' },
  { name: 'admin', subject: '/O=system:masters/CN=admin' },
  {
    name: 'kubelet',
    subject: `/O=system:nodes/CN=system:node:${nodeName}`,
    hosts: `DNS:${nodeName},IP:${nodeAddress}`,
  },
  { name: 'controller-manager', subject: '/CN=system:kube-controller-manager' },
  { name: 'scheduler', subject: '/CN=system:kube-scheduler' },
  { name: 'proxy', subject: '/CN=system:kube-proxy' },
  { name: 'coredns', subject: '/O=system:masters/CN=coredns' },
  { name: 'csi', subject: '/O=system:masters/CN=csi-sidecars' },
]

const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']

/** Makes everything under `<run>/pki` and one `<run>/<name>.conf` per identity. */
export async function makePki(): Promise<void> {
  await mkdir(pki, { recursive: true, mode: 0o700 })
  const ca = ['req', '-x509', ...newKey, '-keyout', pkiFile('ca.key'), '-out', pkiFile('ca.crt')]
  await Promise.all([
    capture(['openssl', ...ca, '-days', '3650', '-subj', '/CN=backup-operator-dev']),
    capture(['openssl', 'ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', pkiFile('sa.key')]),
  ])
  await Promise.all(identities.map(issue))
}

/** The path of an identity's kubeconfig. */
export function kubeconfigOf(name: string): string {
  return join(runDirectory, `${name}.conf`)
}

async function issue({ name, subject, hosts }: Identity) {
  const key = pkiFile(`${name}.key`)
  const request = await capture(['openssl', 'req', ...newKey, '-keyout', key, '-subj', subject])
  const extensions = pkiFile(`${name}.ext`)
  const names = hosts ? [`subjectAltName=${hosts}`] : []
  await writeFile(extensions, [...names, 'extendedKeyUsage=serverAuth,clientAuth', ''].join('\n'))
  const signed = ['-CA', pkiFile('ca.crt'), '-CAkey', pkiFile('ca.key'), '-days', '3650', '-extfile', extensions]
  await capture(['openssl', 'x509', '-req', ...signed, '-out', pkiFile(`${name}.crt`)], { input: request })
  await writeFile(kubeconfigOf(name), kubeconfig(name), { mode: 0o600 })
}

function kubeconfig(name: string): string {
  const context = 'backup-operator-dev'
  return `${JSON.stringify(
    {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: context, cluster: { server: apiServer, 'certificate-authority': pkiFile('ca.crt') } }],
      users: [{ name, user: { 'client-certificate': pkiFile(`${name}.crt`), 'client-key': pkiFile(`${name}.key`) } }],
      contexts: [{ name: context, context: { cluster: context, user: name } }],
      'current-context': context,
    },
    undefined,
    2,
  )}\n`
}
