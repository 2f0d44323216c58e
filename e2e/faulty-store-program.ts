// The fault proxy of the tests as a program: `node faulty-store-program.ts <endpoint> <port> <faults>`. It prints each request.
import { startFaultProxy } from '../test/storage/s3-fault-proxy.ts'
import type { PlannedFault } from './faulty-store.ts'

const [endpoint = '', port = '', faults = '[]'] = process.argv.slice(2)
const proxy = await startFaultProxy(endpoint, {
  host: '0.0.0.0',
  port: Number(port),
  onRequest: request => console.log(request),
})
for (const { verb, fault, key, times } of JSON.parse(faults) as readonly PlannedFault[])
  proxy.fail(verb, fault, { times, key: new RegExp(key) })
