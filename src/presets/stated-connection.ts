// What a policy or a Restore states of a connection, in the words of presets.
import type { Connection as StatedConnection } from '../api/kinds/backup-policy-connection.ts'
import type { KeyReference, Password, Tls, User } from './preset.ts'

export function statedUser(stated: StatedConnection | undefined): User | undefined {
  if (stated?.user !== undefined) return { is: 'named', name: stated.user }
  const reference = stated?.userFrom && keyFrom(stated.userFrom)
  return reference && { is: 'key', reference }
}

export function statedPassword(stated: StatedConnection | undefined): Password | undefined {
  if (stated?.passwordFile) return { is: 'volume', ...stated.passwordFile }
  const reference = stated?.passwordFrom && keyFrom(stated.passwordFrom)
  return reference && { is: 'key', reference }
}

export function tlsOf(stated: StatedConnection | undefined): Tls | undefined {
  if (!stated?.tls) return undefined
  const { mode, secretName, caFrom, certFrom, keyFrom: keyOf } = stated.tls
  return {
    mode,
    secretName,
    authority: caFrom && keyFrom(caFrom),
    certificate: certFrom && keyFrom(certFrom),
    key: keyOf && keyFrom(keyOf),
  }
}

type Key = { readonly name: string; readonly key: string }

function keyFrom(from: { readonly secretKeyRef?: Key; readonly configMapKeyRef?: Key }): KeyReference | undefined {
  if (from.secretKeyRef) return { kind: 'Secret', name: from.secretKeyRef.name, key: from.secretKeyRef.key }
  if (from.configMapKeyRef) return { kind: 'ConfigMap', name: from.configMapKeyRef.name, key: from.configMapKeyRef.key }
  return undefined
}
