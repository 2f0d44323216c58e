// Certificates of servers in the cluster that nobody signed but they themselves.
import { mkdtempDisposable, readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { capture } from '../dev/command.ts'

/** PEM texts of a certificate for a DNS name, good for two days. */
export async function selfSigned(host: string): Promise<{ readonly certificate: string; readonly key: string }> {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'certificate-'))
  const [key, certificate] = [join(folder.path, 'key.pem'), join(folder.path, 'certificate.pem')]
  const request = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-noenc', '-days', '2']
  const names = ['-subj', '/CN=self-signed', '-addext', `subjectAltName=DNS:${host}`]
  await capture(['openssl', ...request, ...names, '-keyout', key, '-out', certificate])
  return { certificate: await readFile(certificate, 'utf8'), key: await readFile(key, 'utf8') }
}
