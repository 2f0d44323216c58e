// Each preset with each store, plain and encrypted: backed up while it is written to, dropped with its accounts, restored, and all that is in
// it compared (docs/presets/, docs/encryption.md).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { generateHybridIdentity, generateX25519Identity, identityToRecipient } from 'age-encryption'
import { apiVersion } from '../src/api/labels.ts'
import { waitFor } from './cluster.ts'
import { installMinio, installOperator } from './install.ts'
import { put } from './objects.ts'
import { mariadbShop } from './shops/mariadb.ts'
import { postgresShop } from './shops/postgres.ts'
import type { Shop } from './shops/shop.ts'
import { backend, backupEnd, never, onDemand, restoreEnd, secret, storeNamespace } from './stack.ts'
import { openStore } from './store.ts'
import { versitygwBackend, versitygwStore } from './versitygw-store.ts'

const baseline = { 'pod-security.kubernetes.io/enforce': 'baseline' }
const identities = { minio: generateX25519Identity, versitygw: generateHybridIdentity } as const

function policy(shop: Shop, namespace: string, name: string, place: object) {
  return {
    apiVersion,
    kind: 'BackupPolicy',
    metadata: { namespace, name },
    spec: {
      selector: { matchLabels: { app: shop.name } },
      schedule: never,
      retention: 3,
      backend: place,
      strategy: { type: 'job', job: { preset: shop.preset } },
    },
  }
}

test('what a preset has backed up comes back', { concurrency: 4 }, async t => {
  await Promise.all([installOperator(), installMinio()])
  const bucket = await openStore()
  t.after(() => bucket.close())
  const shops = { postgres: postgresShop, mariadb: mariadbShop } as const

  await Promise.all(
    (['postgres', 'mariadb'] as const).flatMap(preset =>
      (['minio', 'versitygw'] as const).map(store =>
        t.test(`${preset} from ${store}, plain and encrypted`, async t => {
          const namespace = `e2e-${preset}-${store}`
          const shop = shops[preset](namespace, 'canary-5d0e27')
          await Promise.all([bucket.removeAll(namespace), storeNamespace(t, namespace, baseline)])
          const identity = await identities[store]()
          const recipients = [await identityToRecipient(identity)]
          if (store === 'versitygw') await put(...versitygwStore(namespace))
          await put(...shop.manifests, secret(namespace, 'identities', { 'keys.txt': identity }))
          if (store === 'versitygw') await waitFor(namespace, 'pod/versitygw', 'condition=Ready')
          await shop.ready()
          await shop.fill()
          const before = await shop.contents('shop')
          const place = store === 'minio' ? backend : versitygwBackend(namespace)
          await put(
            policy(shop, namespace, 'plain', place),
            policy(shop, namespace, 'sealed', { ...place, encryption: { recipients } }),
          )
          await shop.whileWriting(async () => {
            for (const name of ['plain', 'sealed']) {
              await put(onDemand(namespace, name, name, shop.name))
              const { phase, ...status } = await backupEnd(namespace, name)
              assert.equal(phase, 'Completed', JSON.stringify(status))
            }
          })
          const late = await shop.written('shop')
          const refused = await restoreEnd(namespace, 'without-identity', {
            source: { backup: 'sealed' },
            verify: true,
          })
          assert.deepEqual([refused.phase, refused.reason], ['Failed', 'NoIdentityMatches'], JSON.stringify(refused))

          for (const [name, more] of [
            ['plain', {}],
            ['sealed', { identities: { secretRef: 'identities' } }],
          ] as const) {
            await shop.drop()
            const restored = await restoreEnd(namespace, name, { source: { backup: name }, into: {}, ...more })
            assert.equal(restored.phase, 'Completed', JSON.stringify(restored))
            assert.equal(await shop.contents('shop'), before)
            const [rows, ...others] = await shop.written('shop')
            assert.ok(rows > 0 && rows < late[0], `${rows} of ${late[0]} transactions`)
            assert.deepEqual(others, [rows, rows], 'each row has its count, and no other has one')
          }
        }),
      ),
    ),
  )
})
