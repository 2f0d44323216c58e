// An admission webhook that puts every pod on the host's network: what comes of pods that something adds to after us.
// https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
import { readFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import { json } from 'node:stream/consumers'

type Review = { readonly request: { readonly uid: string } }

const patch = [{ op: 'add', path: '/spec/hostNetwork', value: true }]
const files = { key: readFileSync('/secret/key.pem'), cert: readFileSync('/secret/certificate.pem') }

createServer(files, (incoming, reply) => void answer(incoming, reply)).listen(8443)

async function answer(incoming: IncomingMessage, reply: ServerResponse): Promise<void> {
  const { request } = (await json(incoming)) as Review
  const change = { allowed: true, patchType: 'JSONPatch', patch: btoa(JSON.stringify(patch)) }
  const response = { uid: request.uid, ...change }
  reply.setHeader('content-type', 'application/json')
  reply.end(JSON.stringify({ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response }))
}
