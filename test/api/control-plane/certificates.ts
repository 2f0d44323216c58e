// The keys of one control plane: an authority, what it signs, and the key of service-account tokens.
import { execFile } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** PEM texts. */
export type AdminCertificates = {
  readonly ca: string
  readonly clientCertificate: { readonly cert: string; readonly key: string }
}

/**
 * Writes ca, apiserver, admin and controller-manager certificates (`<name>.crt`, `<name>.key`) and `sa.key` into
 * `directory`, valid for two days, and gives what an administrator needs. Elliptic keys: an RSA key costs more time than the whole rest of a start.
 */
export async function makeCertificates(directory: string): Promise<AdminCertificates> {
  const config = join(directory, 'openssl.cnf')
  await writeFile(config, '[req]\ndistinguished_name = name\n[name]\n')
  const common = ['req', '-x509', '-config', config, '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-noenc']
  const issue = (name: string, subject: string, extensions: readonly string[], signer: readonly string[]) =>
    run(
      'openssl',
      [
        ...common,
        '-days',
        '2',
        '-subj',
        subject,
        '-keyout',
        `${name}.key`,
        '-out',
        `${name}.crt`,
        ...extensions.flatMap(extension => ['-addext', extension]),
        ...signer,
      ],
      { cwd: directory },
    )
  const authority = ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,keyCertSign', 'subjectKeyIdentifier=hash']
  await issue('ca', '/CN=test-authority', authority, [])
  const signer = ['-CA', 'ca.crt', '-CAkey', 'ca.key']
  const client = ['extendedKeyUsage=clientAuth']
  await Promise.all([
    issue(
      'apiserver',
      '/CN=kube-apiserver',
      ['subjectAltName=DNS:localhost,IP:127.0.0.1', 'extendedKeyUsage=serverAuth'],
      signer,
    ),
    issue('admin', '/O=system:masters/CN=admin', client, signer),
    issue('controller-manager', '/CN=system:kube-controller-manager', client, signer),
  ])
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  await writeFile(join(directory, 'sa.key'), privateKey.export({ type: 'sec1', format: 'pem' }), { mode: 0o600 })
  const read = (file: string) => readFile(join(directory, file), 'utf8')
  return {
    ca: await read('ca.crt'),
    clientCertificate: { cert: await read('admin.crt'), key: await read('admin.key') },
  }
}
